"""LoRA: the factors learn as in a network that computes with them, and the module holds plain weights."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from training.torch.low_rank import LowRank


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_gradients_are_those_of_a_network_with_factors():
    matrix, x = nn.Parameter(drawn(5, 7)), drawn(4, 7, seed=1)
    start, low_rank = matrix.detach().clone(), LowRank({"w": matrix}, 3, 6.0, 1)
    up, down = low_rank.factors["w/up"], low_rank.factors["w/down"]
    assert up.count_nonzero() == 0
    with torch.no_grad():
        up.copy_(drawn(5, 3, seed=2))
    low_rank.merge()
    torch.testing.assert_close(matrix.detach(), start + 2 * up.detach() @ down.detach())
    theirs = [up.detach().clone().requires_grad_(), down.detach().clone().requires_grad_()]
    (F.linear(x, start) + 2 * F.linear(F.linear(x, theirs[1]), theirs[0])).square().sum().backward()
    F.linear(x, matrix).square().sum().backward()
    low_rank.take_gradients()
    assert matrix.grad is None
    for mine, other in zip(
        (up, down), theirs, strict=True
    ):  # sums in another order: how far apart depends on the processor
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-4)


def test_factors_begin_with_no_change_and_depend_on_the_seed():
    matrix = nn.Parameter(drawn(6, 8))
    start = matrix.detach().clone()
    first, second, other = (LowRank({"w": matrix}, 2, 16.0, seed) for seed in (1, 1, 2))
    first.merge()
    assert torch.equal(matrix, start)
    assert torch.equal(first.factors["w/down"], second.factors["w/down"])
    assert not torch.equal(first.factors["w/down"], other.factors["w/down"])


def test_loading_takes_factors_and_leaves_the_rest():
    matrix = nn.Parameter(drawn(6, 8))
    low_rank = LowRank({"w": matrix}, 2, 16.0, 1)
    state = low_rank.state() | {"w/up/value": np.ones((6, 2), np.float32), "w/up/exp_avg": np.ones((6, 2), np.float32)}
    start = matrix.detach().clone()
    assert list(low_rank.load(state)) == ["w/up/exp_avg"]
    torch.testing.assert_close(matrix.detach(), start + 8 * torch.ones(6, 2) @ low_rank.factors["w/down"].detach())
