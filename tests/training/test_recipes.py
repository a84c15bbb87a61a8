"""Options of the optimizer and the loss: each has an effect, and a training that was killed ends with the same bytes."""

import signal
from functools import partial

import numpy as np
import pytest

from tasks.masked_lm.task import TASK
from telemetry import Interrupted
from tests.signals import put_back
from tests.small_training import (
    CONFIG,
    Hooked,
    Recording,
    backend,
    kill_at,
    raising_at,
    recorded,
    same,
    train,
    trainer,
)
from training.validation import evaluate

RECIPES = {
    "ema and muon": {"ema": 0.9, "optimizer": "muon"},
    "layer_decay and muon": {"layer_decay": 0.5, "optimizer": "muon"},
    "freeze_layers": {"freeze_layers": 1, "ema": 0.9},
    "lora, layer_decay and ema": {"lora_rank": 2, "layer_decay": 0.5, "ema": 0.9},
    "r_drop": {"r_drop": 2.0},
    "packing": {"packing": True},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The training without recipes."""
    return train(tmp_path_factory.mktemp("plain"))


def run(work, before=None, observe=None, **options):
    chosen = backend(**options)
    return train(work, observe, Hooked(chosen, before) if before else chosen, **options)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_resumes_to_identical_result(tmp_path, plain, name):
    options = RECIPES[name]
    whole = run(tmp_path / "whole", **options)
    assert not same(whole, plain), "it has an effect"
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "killed", raising_at(11), **options)
    with put_back():
        observe = Recording()
        observe.install_signal_handlers()
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # what is raised is caught here
        with pytest.raises(Interrupted):
            run(tmp_path / "killed", kill_at(17), observe, **options)
        observe.signal_heard()
    assert same(run(tmp_path / "killed", **options), whole)
    assert recorded(tmp_path / "killed") == recorded(tmp_path / "whole")


def test_average_of_weights_is_evaluated_and_kept(tmp_path, plain):
    chosen = backend(ema=0.9)
    made = trainer(tmp_path, None, chosen, ema=0.9)
    result = made.run("training")
    assert not any((result.weights[name] == value).all() for name, value in chosen.weights().items() if value.ndim > 1)
    fresh = backend()
    fresh.load_weights(result.weights)
    losses = {entry["update"]: entry["loss"] for entry in result.history["validation"]}
    assert evaluate(fresh, made.ask, made.validation, 256, made.options.seed) == losses[result.history["best_update"]]
    assert [entry["loss"] for entry in plain.history["training"]] == [
        entry["loss"] for entry in result.history["training"]
    ]


def test_lora_changes_matrices_by_its_rank_and_nothing_else_below_the_head(tmp_path):
    before = backend().weights()
    after = run(tmp_path, lora_rank=2).weights
    assert after.keys() == before.keys()
    for name, value in after.items():
        moved = value - before[name]
        matrix = name.startswith("encoder.layers.") and value.ndim == 2
        assert np.any(moved) == (matrix or name.startswith("head.")), name
        if matrix:
            sizes = np.linalg.svd(moved, compute_uv=False)
            assert sizes[1] > 100 * sizes[2], name


def masked(work, settings, before=None):
    chosen = backend()
    made = trainer(work, None, Hooked(chosen, before) if before else chosen)
    made.ask = partial(TASK.ask, CONFIG, settings)
    return made


@pytest.mark.parametrize("settings", [{"mask_share": 0.3, "last_mask_share": 0.15}, {"causal_share": 0.3}])
def test_masks_resume_to_identical_result(tmp_path, plain, settings):
    whole = masked(tmp_path / "whole", settings).run("training")
    assert not same(whole, plain)
    with pytest.raises(RuntimeError, match="power cut"):
        masked(tmp_path / "killed", settings, raising_at(15)).run("training")
    assert same(masked(tmp_path / "killed", settings).run("training"), whole)


def test_mask_share_falls_along_training(tmp_path):
    asked = []
    watched = masked(tmp_path, {"mask_share": 0.6, "last_mask_share": 0.1})
    ask = watched.ask

    def counting(batch, random, *, training):
        question = ask(batch, random, training=training)
        asked.append((training, len(question.places) / (batch.input_ids >= 5).sum()))
        return question

    watched.ask = counting
    watched.run("training")
    shares = [share for training, share in asked if training]
    assert shares == pytest.approx([0.6 - 0.5 * (shard // 4) / 24 for shard in range(4 * 24)], abs=0.05)
    assert all(share == pytest.approx(0.1, abs=0.02) for training, share in asked if not training)
