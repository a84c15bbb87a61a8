"""Means, norms and steps of gradients, in parts."""

import pytest
import torch

from training.shards import map_in_turn
from training.torch.optimizers import Descent


def descent(sizes, parts):
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in sizes]
    optimizers = [torch.optim.SGD([{"params": [parameter], "scale": 2.0}], lr=0.0) for parameter in parameters]
    return parameters, Descent(parameters, parameters, set(), optimizers, parts, map_in_turn)


def test_parameter_without_gradient_keeps_none():
    parameters, chosen = descent([2, 2], 1)
    chosen.set_gradients([None, torch.ones(2)], 1.0)
    assert parameters[0].grad is None
    assert chosen.norm() == pytest.approx(2**0.5)
    chosen.set_gradients([None, None], 1.0)
    assert chosen.norm() == 0.0


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_norm_and_clipped_step_are_of_all_parameters(parts):
    parameters, chosen = descent([4, 9, 1], parts)
    chosen.set_gradients([torch.ones(4), torch.ones(9), torch.full((1,), 6.0)], 1.0)
    assert chosen.norm() == pytest.approx(7.0)
    chosen.step(0.5, 7.0, clip=0.7)
    assert [parameter[0].item() for parameter in parameters] == pytest.approx([-0.1, -0.1, -0.6], rel=1e-5)


def test_gradient_is_laid_out_as_its_parameter():
    """Fused optimizers read both as if they were."""
    chosen = torch.nn.Parameter(torch.zeros(2, 3))
    Descent([chosen], [chosen], set(), [], 1, map_in_turn).set_gradients([torch.arange(6.0).view(3, 2).T], 1.0)
    assert chosen.grad.stride() == chosen.stride()
    assert chosen.grad.tolist() == [[0, 2, 4], [1, 3, 5]]
