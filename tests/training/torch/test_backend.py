"""The backend: what an update does, and that its state comes back whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.chance import generator_of
from models.question import Objective
from tasks.masked_lm.task import TASK
from tests.small_training import CONFIG, backend, made_up
from training.backend import Backend
from training.errors import TrainingError
from training.shards import ShardSum
from training.torch.backend import TorchBackend


@pytest.fixture
def question():
    return TASK.ask(CONFIG, {}, made_up(12, 0).batch(np.arange(12)), generator_of(5), training=True)


def test_backend_implements_loop_protocol():
    chosen: Backend = backend()
    assert callable(chosen.update)
    assert callable(chosen.row_losses)


def test_updates_lower_loss_of_their_batch(question):
    chosen = backend()
    losses = [chosen.update([question], 0, 1e-2).loss for _ in range(30)]
    assert losses[0] == pytest.approx(np.log(40), rel=0.1), "an untrained network guesses"
    assert losses[-1] < 0.5 * losses[0]


def test_one_update_matches_adamw_formula(question):
    """AdamW's first step moves each weight by lr g / (|g| + eps), after decay of matrices by lr times decay."""
    chosen = backend()
    before = chosen.weights()
    chosen.update([question], 0, 0.01)
    gradients = {name: p.grad.numpy() for name, p in chosen.network.module.named_parameters()}
    for name, after in chosen.weights().items():
        decayed = before[name] * (1 - 0.01 * 0.01) if before[name].ndim > 1 else before[name]
        step = 0.01 * gradients[name] / (np.abs(gradients[name]) + 1e-8)
        np.testing.assert_allclose(after, decayed - step, atol=2e-5)


def test_gradient_is_clipped_and_norm_is_reported_before_clipping(question):
    chosen = backend()
    chosen.options = chosen.options.model_copy(update={"clip": 1e-3})
    norm = chosen.update([question], 0, 0.0).gradient_norm
    clipped = torch.stack([p.grad.norm() for p in chosen.network.module.parameters()]).norm().item()
    assert norm > 0.01
    assert clipped == pytest.approx(1e-3, rel=1e-3)


def test_update_randomness_depends_only_on_its_number(question):
    first, second = backend(), backend()
    torch.manual_seed(99)  # what another part drew before has no say
    assert first.update([question], 7, 1e-2) == second.update([question], 7, 1e-2)
    assert first.update([question], 8, 1e-2) != second.update([question], 9, 1e-2)


@pytest.mark.parametrize(("optimizer", "pairs"), [("adamw", 0), ("muon", 0), ("muon", 50)])
def test_weights_and_optimizer_state_reload_bit_for_bit(question, optimizer, pairs):
    config = CONFIG.with_changes({"bigram_buckets": pairs})
    first, second = backend(config=config, optimizer=optimizer), backend(config=config, optimizer=optimizer)
    for number in range(3):
        first.update([question], number, 1e-2)
    second.load_weights(first.weights())
    second.load_optimizer(first.optimizer())
    assert first.update([question], 3, 1e-2) == second.update([question], 3, 1e-2)
    for ours, theirs in ((first.weights(), second.weights()), (first.optimizer(), second.optimizer())):
        assert {name: value.tobytes() for name, value in ours.items()} == {
            name: value.tobytes() for name, value in theirs.items()
        }


@pytest.mark.parametrize(("optimizer", "rank"), [("adamw", 0), ("muon", 0), ("adamw", 2)])
def test_update_is_the_same_in_any_number_of_parts(question, optimizer, rank):
    """Parameters are shared out among as many threads as there are shards."""
    bytes_of = []
    for shards in (1, 2, 16):
        chosen = backend(
            config=CONFIG.with_changes({"bigram_buckets": 50}), optimizer=optimizer, lora_rank=rank, shards=shards
        )
        updates = [chosen.update([question], number, 1e-2) for number in range(3)]
        state = chosen.weights() | chosen.optimizer()
        bytes_of.append((updates, {name: value.tobytes() for name, value in state.items()}))
    assert bytes_of[0] == bytes_of[1] == bytes_of[2]


def test_gradients_that_are_one_tensor_are_added_apart():
    """Autograd gives two parameters that are added to each other the same tensor."""
    chosen, one = backend(), torch.ones(3)
    chosen._parameters = chosen._parameters[:2]
    chosen._descent.parts = [[0], [1]]
    total = chosen._add([ShardSum(1.0, 1, [one, one]), ShardSum(2.0, 3, [2 * one, None])])
    assert (total.loss, total.answers) == (3.0, 4)
    assert [gradient.tolist() for gradient in total.gradients] == [[3.0] * 3, [1.0] * 3]


def test_returned_weights_are_copies(question):
    chosen = backend()
    copies = {name: value.copy() for name, value in chosen.weights().items()}
    kept = chosen.weights()
    chosen.update([question], 0, 1e-2)
    assert all(np.array_equal(kept[name], copies[name]) for name in kept)


def test_row_losses_sum_answer_losses_without_dropout(question):
    chosen = backend()
    chosen.update([question], 0, 1e-2)  # leaves the network in training
    rows = chosen.row_losses(question)
    nats = chosen.network.nats(question)
    np.testing.assert_allclose(rows.total, np.bincount(question.rows, nats, 12), rtol=1e-4, atol=1e-5)
    assert rows.targets.tolist() == question.targets.tolist()
    assert rows.total.tolist() == chosen.row_losses(question).total.tolist()
    assert not any(p.requires_grad and p.grad is None for p in chosen.network.module.parameters()), "gradients stay"


def test_empty_question_has_zero_loss_and_gradient(question):
    chosen, nothing = backend(), np.zeros(0, np.int64)
    update = chosen.update([replace(question, places=nothing, labels=nothing, rows=nothing)], 0, 0.0)
    assert (update.loss, update.targets, update.gradient_norm) == (0, 0, 0)


def test_label_smoothing_applies_only_in_training(question):
    """1 - e of the wanted token's, e of the mean over all tokens (Szegedy et al. 2016, section 7)."""
    plain = backend(config=CONFIG.with_changes({"dropout": 0.0}))
    options = plain.options.model_copy(update={"label_smoothing": 0.3})
    smoothed = TorchBackend(plain.network, TASK.objective({}), options)
    np.testing.assert_array_equal(plain.row_losses(question).total, smoothed.row_losses(question).total)
    logits = plain.network.logits(question).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = logs[np.arange(len(question.labels)), question.labels]
    expected = -(0.7 * wanted + 0.3 * logs.mean(-1)).mean()
    assert smoothed.update([question], 0, 0.0).loss == pytest.approx(expected, rel=1e-4)


def test_muon_updates_hidden_matrices_and_adamw_the_rest(question):
    muon, adamw = backend(optimizer="muon"), backend()
    muon.update([question], 0, 0.01)
    adamw.update([question], 0, 0.01)
    theirs = adamw.weights()
    moved = {name for name, value in muon.weights().items() if not np.array_equal(value, theirs[name])}
    layer = ("attention.qkv", "attention.output", "feed_forward.inner", "feed_forward.outer")
    assert moved == {f"encoder.layers.0.{name}.weight" for name in layer}


def test_r_drop_without_dropout_or_choices_is_refused():
    with pytest.raises(TrainingError, match="set dropout, or r_drop=0"):
        backend(config=CONFIG.with_changes({"dropout": 0.0}), r_drop=1.0)
    plain = backend()
    options = plain.options.model_copy(update={"r_drop": 1.0})
    with pytest.raises(TrainingError, match="r_drop is for tasks that choose among labels"):
        TorchBackend(plain.network, Objective("next_sentence"), options)


def test_update_changes_only_the_pairs_of_its_batch(question):
    chosen = backend(config=CONFIG.with_changes({"bigram_buckets": 5000}))
    chosen.update([question], 0, 0.01)
    changed = np.abs(chosen.weights()["encoder.embedding.pairs.weight"]).sum(-1) > 0  # they start at 0
    pairs = {
        (before, after) for row in question.inputs["input_ids"] for before, after in zip([0, *row], row, strict=False)
    }
    assert 0 < changed.sum() <= len(pairs)
