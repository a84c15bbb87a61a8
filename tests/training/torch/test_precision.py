"""Lower precisions and compiled layers on the CPU: near float32, repeatable, and an overflow of float16 costs one update."""

import numpy as np
import pytest
import torch

from models.chance import generator_of
from models.devices import Compute
from tasks.masked_lm.task import TASK
from tasks.model import build
from tests.small_training import CONFIG, Hooked, Recording, made_up, raising_at, same, train
from training.options import TrainingOptions
from training.torch import precision
from training.torch.backend import TorchBackend
from training.torch.precision import LossScale

QUESTION = TASK.ask(CONFIG, {}, made_up(12, 0).batch(np.arange(12)), generator_of(5), training=True)


def backend(kind: str, *, compiled: bool = False, **changes) -> TorchBackend:
    """A small network that computes in a precision."""
    network = build(TASK, CONFIG.with_changes(changes), {}, 3, Compute("cpu", kind, compiled))
    return TorchBackend(network, TASK.objective({}), TrainingOptions(seed=3))


def losses(chosen: TorchBackend, updates: int = 20) -> list[float]:
    """Losses of some updates on one batch."""
    return [chosen.update([QUESTION], number, 1e-2).loss for number in range(updates)]


@pytest.mark.parametrize(("kind", "distance"), [("bfloat16", 0.02), ("float16", 0.01)])
def test_losses_in_lower_precision_stay_near_float32(kind, distance):
    """Relative distance of each loss, while the loss falls to a third."""
    expected, found = losses(backend("float32", dropout=0.0)), losses(backend(kind, dropout=0.0))
    assert expected[-1] < 0.5 * expected[0]
    assert found != expected, "float32 after all"
    np.testing.assert_allclose(found, expected, rtol=distance)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_weights_and_optimizer_state_stay_in_float32(kind):
    chosen = backend(kind)
    chosen.update([QUESTION], 0, 1e-2)
    assert {value.dtype for value in chosen.weights().values()} == {np.dtype(np.float32)}
    state = {name: value.dtype for name, value in chosen.optimizer().items() if name != "loss_scale"}
    assert set(state.values()) == {np.dtype(np.float32)}


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_killed_training_ends_with_same_bytes(tmp_path, monkeypatch, kind):
    """With float16 the scale is part of what goes on: it has just been halved."""
    monkeypatch.setattr(precision, "_FIRST", 2.0**22)
    whole = train(tmp_path / "whole", chosen=backend(kind))
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "killed", chosen=Hooked(backend(kind), raising_at(10)))
    assert same(train(tmp_path / "killed", chosen=backend(kind)), whole)


def test_checkpoint_of_one_precision_loads_in_another(tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path, chosen=Hooked(backend("float16"), raising_at(10)))
    result = train(tmp_path, chosen=backend("float32"))
    assert result.history["updates"] == 24
    assert result.history["best_loss"] < np.log(40)


def test_overflow_skips_update_and_is_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_FIRST", 2.0**60)  # beyond float16 for any gradient
    observe, chosen = Recording(), backend("float16")
    before = chosen.weights()
    update = chosen.update([QUESTION], 0, 1e-2)
    assert update.skipped
    assert not np.isfinite(update.gradient_norm)
    assert all(np.array_equal(value, before[name]) for name, value in chosen.weights().items())
    assert chosen._scale.value == 2.0**59
    monkeypatch.setattr(precision, "_FIRST", 2.0**22)
    result = train(tmp_path, observe, backend("float16"))
    told = observe.of("training.overflow")
    assert told[0] == ("warning", "update 1 skipped: its gradient overflowed in float16; the next is scaled down by 2")
    assert 0 < len(told) < 15
    assert result.history["best_loss"] < np.log(40), "it learned all the same"
    assert all(np.isfinite(entry["gradient_norm"]) for entry in result.history["training"])


def test_loss_scale_doubles_after_updates_without_overflow(monkeypatch):
    monkeypatch.setattr(precision, "_PATIENCE", 3)
    scale = LossScale("float16")
    first = scale.value
    assert not any(scale.is_overflow(1.0, 0.5) for _ in range(2))
    assert scale.value == first
    assert not scale.is_overflow(1.0, 0.5)
    assert scale.value == 2 * first
    assert scale.is_overflow(1.0, float("inf"))
    assert scale.value == first
    again = LossScale("float16")
    assert again.load({**scale.state(), "other": np.zeros(1)}).keys() == {"other"}
    assert (again.value, again.since) == (scale.value, scale.since)


def test_gradient_not_finite_at_least_scale_is_no_overflow():
    scale = LossScale("float16")
    scale.value = precision._LEAST
    assert not scale.is_overflow(1.0, float("nan")), "the training must end, not skip for ever"
    assert not scale.is_overflow(float("nan"), float("nan"))
    bfloat16 = LossScale("bfloat16")
    assert not bfloat16.is_overflow(1.0, float("inf"))
    assert bfloat16.state() == {}


def test_scaled_gradient_equals_plain_one():
    """2^16 is exact, so float32 with a scale has the very same bytes."""
    plain, scaled = backend("float32"), backend("float32")
    scaled._scale = LossScale("float16")
    assert losses(plain, 3) == losses(scaled, 3)
    assert all(np.array_equal(value, plain.weights()[name]) for name, value in scaled.weights().items())


@pytest.mark.slow  # a minute on a busy machine, of compiling
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # by torch.compile itself, of its inputs
def test_compiled_losses_equal_eager_ones():
    """Two layers, three shapes: to 1e-5 relative, the order of sums differs."""
    changes = {"dropout": 0.0, "num_layers": 2}
    plain, compiled = backend("float32", **changes), backend("float32", compiled=True, **changes)
    np.testing.assert_allclose(losses(compiled, 4), losses(plain, 4), rtol=1e-5)
    for rows in (5, 9):
        question = TASK.ask(CONFIG, {}, made_up(rows, rows).batch(np.arange(rows)), generator_of(5), training=True)
        np.testing.assert_allclose(compiled.row_losses(question).total, plain.row_losses(question).total, rtol=1e-5)
    assert compiled.weights().keys() == plain.weights().keys()


def test_compile_of_network_without_transformer_layers_is_refused():
    from training.errors import TrainingError

    with pytest.raises(TrainingError, match=r"compile=true is for transformers.*set compile=false"):
        build(
            TASK,
            CONFIG.with_changes({"network": "convolutional", "kernel_sizes": "1,3"}),
            {},
            3,
            Compute(compiled=True),
        )
    assert torch.compiler.is_compiling() is False
