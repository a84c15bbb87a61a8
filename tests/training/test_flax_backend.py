"""The Flax backend by itself; against PyTorch's it is in `tests/models/frameworks/test_parity.py`."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.config import ModelConfig
from models.devices import Compute
from models.network import Part
from models.question import Objective, ask_places, text_inputs
from models.shapes import merge
from tests.models.frameworks.cases import CASES
from training.errors import TrainingError
from training.options import TrainingOptions

pytestmark = pytest.mark.frameworks
RATE = 1e-3


def backend_of(case, objective=None, **options):
    from models.flax.flax_network import FlaxNetwork
    from training.flax.backend import FlaxBackend

    network = FlaxNetwork(case.parts, case.config, Compute(framework="flax"))
    network.initialize(1)
    return FlaxBackend(network, objective or case.objective, TrainingOptions(**options))


def test_options_without_a_twin_are_refused_with_the_remedy():
    with pytest.raises(TrainingError, match=r"framework=flax has no r_drop=1.0: set r_drop=0, or framework=torch"):
        backend_of(CASES["bert"], r_drop=1.0)


@pytest.mark.parametrize("objective", [Objective("next_sentence"), Objective("replaced_tokens"), lambda *_: None])
def test_objectives_without_a_twin_are_refused(objective):
    with pytest.raises(TrainingError, match=r"framework=torch"):
        backend_of(CASES["bert"], objective)


def test_contrast_is_of_the_whole_batch():
    case = CASES["retrieval"]
    shards = [case.question(0, 4), case.question(1, 3)]
    apart, together = backend_of(case), backend_of(case)
    done, expected = apart.update(shards, 0, RATE), together.update([merge(shards)], 0, RATE)
    assert (done.loss, done.targets) == (expected.loss, 7)
    for name, value in apart.weights().items():
        np.testing.assert_array_equal(value, together.weights()[name], err_msg=name)
    alone = backend_of(case).update(shards[:1], 0, RATE)
    assert alone.loss != done.loss


def test_frozen_parameters_keep_their_weights_and_have_no_state():
    case = CASES["roberta"]
    backend = backend_of(case, freeze_layers=1)
    before = backend.weights()
    backend.update([case.question()], 0, RATE)
    fixed = "encoder.layers.0.attention.qkv.weight"
    np.testing.assert_array_equal(backend.weights()[fixed], before[fixed])
    assert not [name for name in backend.optimizer() if name.startswith(fixed)]
    learning = "encoder.layers.1.attention.qkv.weight"
    assert not np.array_equal(backend.weights()[learning], before[learning])


def test_optimizer_has_no_state_before_the_first_update_and_then_pytorchs_names():
    case = CASES["bert"]
    backend = backend_of(case)
    assert backend.optimizer() == {}
    backend.update([case.question()], 0, RATE)
    backend.update([case.question()], 1, RATE)
    state = backend.optimizer()
    assert state["head.bias/step"] == np.float32(2)
    assert state["head.bias/exp_avg"].shape == state["head.bias/exp_avg_sq"].shape == (60,)
    backend.load_optimizer({})
    assert backend.optimizer() == {}


def test_averages_stand_in_for_the_weights_only_for_an_evaluation():
    case = CASES["roberta"]
    backend = backend_of(case, ema=0.5)
    for number in range(3):
        backend.update([case.question(number)], number, RATE)
    weights, losses = backend.weights(), backend.row_losses(case.question()).total
    with backend.average():
        assert not np.array_equal(backend.row_losses(case.question()).total, losses)
        np.testing.assert_array_equal(backend.weights()["head.bias"], backend.optimizer()["head.bias/average"])
    for name, value in backend.weights().items():
        np.testing.assert_array_equal(value, weights[name])
    np.testing.assert_array_equal(backend.row_losses(case.question()).total, losses)


def test_smoothing_is_of_training_alone():
    case = CASES["bert"]
    smooth, plain = backend_of(case, label_smoothing=0.2), backend_of(case)
    question = case.question()
    np.testing.assert_array_equal(smooth.row_losses(question).total, plain.row_losses(question).total)
    assert smooth.gradients(question)[0] == plain.gradients(question)[0]
    assert smooth.update([question], 0, RATE).loss != plain.update([question], 0, RATE).loss


def test_losses_of_rows_add_up_to_the_loss_of_the_batch():
    case = CASES["gpt2"]
    backend, question = backend_of(case), case.question()
    rows = backend.row_losses(question)
    assert rows.total.sum() / rows.targets.sum() == pytest.approx(backend.update([question], 0, RATE).loss, rel=1e-6)


def test_prepare_keeps_flags_that_are_set(monkeypatch):
    from training.flax.backend import prepare

    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true --xla_dump_to=/nowhere")
    prepare()
    prepare()
    flags = os.environ["XLA_FLAGS"].split()
    assert "--xla_cpu_multi_thread_eigen=true" in flags
    assert "--xla_dump_to=/nowhere" in flags
    assert len(flags) == len(set(flags)) == 3


def print_digest():
    """The weights after two updates of a network that is large enough for XLA to cut its loops into parts."""
    import hashlib

    from models.flax.flax_network import FlaxNetwork
    from training.flax.backend import FlaxBackend

    config = ModelConfig(
        preset="roberta", d_model=128, d_ff=512, num_heads=4, num_layers=1, max_length=64, vocab_size=2000, dropout=0.1
    )
    network = FlaxNetwork({"encoder": Part("Encoder"), "head": Part("MaskedLMHead")}, config)
    network.initialize(1)
    backend = FlaxBackend(network, Objective(), TrainingOptions())
    ids = np.random.default_rng(1).integers(5, 2000, (8, 64))
    question = ask_places(text_inputs(ids, np.ones_like(ids, dtype=bool)), ids % 3 == 0, ids)
    for number in range(2):
        backend.update([question.part(slice(0, 4)), question.part(slice(4, 8))], number, RATE)
    weights = b"".join(value.tobytes() for value in backend.weights().values())
    print(len(os.sched_getaffinity(0)), hashlib.sha256(weights).hexdigest())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2, reason="needs two cores")
def test_update_has_the_same_bytes_on_one_core_and_on_all():
    command = "from tests.training.test_flax_backend import print_digest; print_digest()"
    one_core = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {command}"
    environment = {name: value for name, value in os.environ.items() if name not in ("NPROC", "XLA_FLAGS")}
    printed = [
        subprocess.run(
            [sys.executable, "-c", one], capture_output=True, text=True, check=True, env=environment,
            cwd=Path(__file__).parents[2],
        ).stdout.split()
        for one in (command, one_core)
    ]  # fmt: skip
    assert printed[0][1] == printed[1][1]
    assert (int(printed[0][0]) > 1, int(printed[1][0])) == (True, 1)
