"""The backend: what an update does, and that its state comes back whole."""

import numpy as np
import pytest
import torch

from tests.small_training import backend, made_up
from training.backend import Backend


@pytest.fixture
def batch():
    rows = made_up(12, 0)
    return rows.batch(np.arange(12))


def test_it_answers_the_loops_calls():
    chosen: Backend = backend()
    assert callable(chosen.update)


def test_an_update_lowers_the_loss_of_its_batch(batch):
    chosen = backend()
    losses = [chosen.update(batch, 0, 1e-2).loss for _ in range(30)]
    assert losses[0] == pytest.approx(np.log(40), rel=0.1), "an untrained network guesses"
    assert losses[-1] < 0.5 * losses[0]


def test_one_update_by_hand(batch):
    """AdamW's first step moves each weight by lr g / (|g| + eps), after decay of matrices by lr times decay."""
    chosen = backend()
    before = chosen.weights()
    chosen.update(batch, 0, 0.01)
    gradients = {name: p.grad.numpy() for name, p in chosen.network.named_parameters()}
    for name, after in chosen.weights().items():
        decayed = before[name] * (1 - 0.01 * 0.01) if before[name].ndim > 1 else before[name]
        step = 0.01 * gradients[name] / (np.abs(gradients[name]) + 1e-8)
        np.testing.assert_allclose(after, decayed - step, atol=2e-5)


def test_the_gradient_is_clipped_and_its_norm_is_that_before(batch):
    chosen = backend()
    chosen._clip = 1e-3
    norm = chosen.update(batch, 0, 0.0).gradient_norm
    clipped = torch.stack([p.grad.norm() for p in chosen.network.parameters()]).norm().item()
    assert norm > 0.01
    assert clipped == pytest.approx(1e-3, rel=1e-3)


def test_an_update_is_a_function_of_its_number(batch):
    first, second = backend(), backend()
    torch.manual_seed(99)  # what another part drew before has no say
    assert first.update(batch, 7, 1e-2) == second.update(batch, 7, 1e-2)
    assert first.update(batch, 8, 1e-2) != second.update(batch, 9, 1e-2)


def test_weights_and_optimizer_come_back_to_the_last_bit(batch):
    first, second = backend(), backend(seed=3)
    for number in range(3):
        first.update(batch, number, 1e-2)
    second.load_weights(first.weights())
    second.load_optimizer(first.optimizer())
    assert first.update(batch, 3, 1e-2) == second.update(batch, 3, 1e-2)
    for ours, theirs in ((first.weights(), second.weights()), (first.optimizer(), second.optimizer())):
        assert {name: value.tobytes() for name, value in ours.items()} == {
            name: value.tobytes() for name, value in theirs.items()
        }


def test_what_was_copied_does_not_move(batch):
    chosen = backend()
    copies = {name: value.copy() for name, value in chosen.weights().items()}
    kept = chosen.weights()
    chosen.update(batch, 0, 1e-2)
    assert all(np.array_equal(kept[name], copies[name]) for name in kept)
