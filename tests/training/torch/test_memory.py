"""A device whose memory runs out: shards in parts, the same mathematics, said once."""

import numpy as np
import pytest
import torch

from models.chance import generator_of
from models.question import Question
from models.torch.objectives import Contrast
from tasks import available, load
from tasks.masked_lm.task import TASK
from tasks.model import build
from tests.small_training import CONFIG, Hooked, Recording, backend, digest, made_up, raising_at, train
from tests.test_seam import SETTINGS, batch_of
from training.errors import TrainingError
from training.options import TrainingOptions
from training.shards import map_in_turn
from training.torch.backend import TorchBackend
from training.torch.memory import MemoryFit

pytestmark = pytest.mark.usefixtures("one_thread")


class Scarce:
    """An objective on a pretended device whose memory holds the graph of so many rows."""

    def __init__(self, objective, rows):
        self.objective, self.rows = objective, rows

    def __call__(self, network, question):
        check(question, self.rows)
        return self.objective(network, question)


class ScarceContrast(Contrast):
    """The same of in-batch negatives."""

    rows = 0

    def vectors(self, network, question):
        check(question, self.rows)
        return super().vectors(network, question)


def check(question: Question, rows: int) -> None:
    if question.batch_size > rows:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def scarce(chosen: TorchBackend, rows: int) -> TorchBackend:
    objective, chosen._map_items = chosen._objective, map_in_turn  # as a device has it
    if isinstance(objective, Contrast):
        chosen._objective = ScarceContrast(objective.temperature, objective.symmetric)
        ScarceContrast.rows = rows
    else:
        chosen._objective = Scarce(objective, rows)
    return chosen


def of_task(name, **changes):
    """A backend of a task's network with dropout, and two shards."""
    task, settings = load(name.partition(",")[0]), SETTINGS.get(name, {})
    config, batch = batch_of(name)
    changes = {"dropout": 0.2, "initializer_std": 0.3, "d_model": 32 if name == "electra" else 8, **changes}
    config = config.with_changes(changes | ({"token_types": 2, "max_length": 32} if settings.get("nsp") else {}))
    options = TrainingOptions(seed=4, shards=2)
    shards = [task.ask(config, settings, batch, generator_of(5, number), training=True) for number in range(2)]
    return TorchBackend(build(task, config, settings, 3), task.objective(settings), options), shards


def gradients(chosen):
    return {
        name: p.grad.to_dense().numpy() for name, p in chosen.network.module.named_parameters() if p.grad is not None
    }


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max(), err_msg=name)


FAMILIES = [
    *((name, {}) for name in [*available(), "masked_lm, nsp"]),
    ("masked_lm", {"attention_dropout": 0.3, "layer_dropout": 0.2}),
    ("classification", {"network": "convolutional", "kernel_sizes": "1,3"}),
    ("classification", {"bigram_buckets": 16}),
]


LSTM = ("causal_lm", {"network": "recurrent", "cell": "lstm"})  # a single row does not tell how a batch lies in memory


@pytest.mark.parametrize(
    ("name", "changes", "rows"), [(*case, rows) for rows in (3, 1) for case in FAMILIES] + [(*LSTM, 3)]
)
def test_update_in_parts_equals_update_at_once(name, changes, rows):
    """Masks, negatives and weights of losses are those of the whole shard; only the order of sums is another."""
    (whole, shards), (parts, _) = of_task(name, **changes), of_task(name, **changes)
    expected, found = whole.update(shards, 7, 1e-2), scarce(parts, rows).update(shards, 7, 1e-2)
    assert (expected.parts, found.parts) == (1, {3: 2, 1: 8}[rows])
    assert found.targets == expected.targets
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
    assert_close(gradients(parts), gradients(whole))


@pytest.mark.parametrize("name", [*available(), "masked_lm, nsp"])
def test_evaluation_in_parts_has_the_same_losses(name):
    (whole, shards), (parts, _) = of_task(name), of_task(name)
    expected, found = whole.row_losses(shards[0]), scarce(parts, 2).row_losses(shards[0])
    np.testing.assert_allclose(found.total, expected.total, rtol=1e-4)
    assert found.targets.tolist() == expected.targets.tolist()
    assert set(parts.optimizer()) == {"parts_of_evaluation"}, "updates need not be cut for it"


def test_parts_without_padding_draw_masks_of_their_own():
    """Tokens of all rows lie behind one another, and masks cannot be cut by rows: the loss is another draw, the same each time."""
    updates = []
    for rows in (6, 3, 3):
        chosen, shards = of_task("masked_lm", unpadding=True)
        updates.append(scarce(chosen, rows).update(shards, 7, 1e-2))
    assert updates[1] == updates[2]
    assert updates[1].loss != updates[0].loss
    assert updates[1].loss == pytest.approx(updates[0].loss, rel=0.3)


def test_memory_that_ran_out_is_said_once_and_kept(tmp_path):
    observe = Recording()
    result = train(tmp_path, observe, scarce(backend(), 2))
    (record,) = observe.of("training.out_of_memory")
    assert record[0] == "warning"
    assert record[1].startswith("out of memory at update 1: from here on each shard is computed in 2 parts")
    assert result.history["out_of_memory"] == [{"update": 1, "parts": 2}]
    plain = train(tmp_path / "plain")
    assert "out_of_memory" not in plain.history
    assert result.history["best_loss"] == pytest.approx(plain.history["best_loss"], rel=1e-3)
    for name, value in plain.weights.items():
        np.testing.assert_allclose(result.weights[name], value, atol=2e-3)


def test_training_in_parts_has_the_same_bytes_after_a_kill(tmp_path):
    whole = train(tmp_path / "whole", chosen=scarce(backend(), 2))
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "killed", chosen=Hooked(scarce(backend(), 2), raising_at(10)))
    observe = Recording()
    assert digest(train(tmp_path / "killed", observe, scarce(backend(), 2))) == digest(whole)
    assert not observe.of("training.out_of_memory"), "it was said before"
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "moved", chosen=Hooked(scarce(backend(), 2), raising_at(10)))
    assert digest(train(tmp_path / "moved", chosen=backend())) == digest(whole), "also on a device with more memory"


def test_single_row_that_does_not_fit_is_one_line(tmp_path):
    with pytest.raises(TrainingError) as raised:
        train(tmp_path, chosen=scarce(backend(), 0))
    assert str(raised.value) == (
        "out of memory on cpu with a single row: choose a smaller network or max_length, or set device=cpu"
    )


def test_optimizer_that_does_not_fit_is_one_line(monkeypatch):
    chosen = backend()
    question = TASK.ask(CONFIG, {}, made_up(12, 0).batch(np.arange(12)), generator_of(5), training=True)

    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(chosen._descent, "step", step)
    with pytest.raises(TrainingError, match=r"^out of memory on cpu for the optimizer's state: choose a smaller"):
        chosen.update([question], 0, 1e-2)


def test_error_is_gone_before_the_next_attempt(monkeypatch):
    """The tensors of an attempt that failed must be free for the next one; so is the cache of CUDA's allocator."""
    emptied, held = [], []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))

    class Tensors:
        def __del__(self):
            held.remove(self.number)

    def attempt(parts):
        assert held == []
        if parts < 4:
            tensors = Tensors()
            tensors.number = parts
            held.append(parts)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return parts

    assert MemoryFit(torch.device("cuda"), "parts").compute(6, attempt) == 4
    assert len(emptied) == 2


def test_attention_dropout_of_cuda_is_seeded_by_update_and_shard(monkeypatch):
    """Its kernel draws from the device's own generator, which a kill would else put back."""
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    chosen, shards = of_task("masked_lm")

    class Generator:
        device = torch.device("cuda")

        def __init__(self, *place):
            self.place = place

        def initial_seed(self):
            return self.place

    monkeypatch.setattr(chosen, "_generator", Generator)
    for run in (slice(0, 6), slice(3, 6)):
        chosen._draw(7, 1, shards[1], run, lambda: torch.zeros(()))
    assert seeds == [(7, 1), (7, 1, 3)]
