"""The backend in TensorFlow, as far as it is not that of all frameworks (tests/models/frameworks/test_parity.py)."""

import numpy as np
import pytest

from models.question import Objective
from tests.models.frameworks.cases import CASES
from training.errors import TrainingError
from training.options import TrainingOptions

pytestmark = pytest.mark.frameworks
CASE = CASES["roberta"]


def backend_of(objective=CASE.objective, **options):
    from models.tensorflow.tensorflow_network import TensorFlowNetwork
    from training.tensorflow.backend import TensorFlowBackend

    config = CASE.config.with_changes({"dropout": 0.1, "attention_dropout": 0.1})
    network = TensorFlowNetwork(CASE.parts, config)
    network.load_weights(CASE.weights())
    return TensorFlowBackend(network, objective, TrainingOptions(**options))


def test_options_that_only_torch_has_are_refused():
    with pytest.raises(TrainingError, match=r"framework=tensorflow has no optimizer=muon: .*framework=torch"):
        backend_of(optimizer="muon")


@pytest.mark.parametrize("name", ["next_sentence", "replaced_tokens"])
def test_objectives_that_only_torch_has_are_refused(name):
    with pytest.raises(TrainingError, match=f"{name}.*framework=torch"):
        backend_of(Objective(name))


def test_objective_with_a_teacher_is_refused():
    with pytest.raises(TrainingError, match=r"teacher.*framework=torch"):
        backend_of(lambda network, question: None)


def test_state_of_the_optimizer_is_of_what_has_learned():
    backend = backend_of(freeze_layers=1)
    assert backend.optimizer() == {}
    before = backend.weights()
    backend.update([CASE.question()], 0, 1e-3)
    after, state = backend.weights(), backend.optimizer()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name.rpartition("/")[0] for name in state} == changed
    assert not any(name.startswith(("encoder.layers.0", "encoder.embedding")) for name in changed)
    assert {str(value.dtype) for value in state.values()} == {"float32"}


def test_shards_computed_in_turn_or_side_by_side_give_the_same_bytes(monkeypatch):
    weights = []
    for cores in (1, 2):
        monkeypatch.setattr("training.shards.cores", lambda count=cores: count)
        backend = backend_of()
        for number in range(2):
            backend.update([CASE.question(shard) for shard in range(4)], number, 1e-2)
        weights.append(backend.weights())
    for name, value in weights[0].items():
        assert value.tobytes() == weights[1][name].tobytes(), name


def test_time_of_compilation_grows_with_new_shapes_alone():
    backend = backend_of()
    backend.update([CASE.question()], 0, 1e-3)
    before = backend.compiled_shapes, backend.compile_seconds
    assert before[0] == 1
    backend.update([CASE.question()], 1, 1e-3)
    assert (backend.compiled_shapes, backend.compile_seconds) == before
    backend.row_losses(CASE.question())
    assert backend.compiled_shapes == 2
