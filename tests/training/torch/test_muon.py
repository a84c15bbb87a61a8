"""Muon, beside PyTorch's, which computes in bfloat16."""

import pytest
import torch
from torch import nn

from training.torch.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(24, 24), (16, 48), (48, 16)])
def test_orthogonalize_brings_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    assert values.max() / values.min() > 2
    found = orthogonalize(matrix)
    assert found.shape == matrix.shape
    ours = torch.linalg.svdvals(found)
    assert 0.6 < ours.min() <= ours.max() < 1.3
    rotated = left.T @ found @ right.T  # diagonal: the directions are those of the matrix
    torch.testing.assert_close(rotated, rotated.diagonal().diag(), atol=1e-4, rtol=0)


def test_updates_match_torch():
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(12, 20, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon = Muon([ours], weight_decay=0.1)
    peer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    muon.param_groups[0]["lr"] = 0.02
    for _ in range(5):
        ours.grad = torch.randn(12, 20, generator=generator)
        theirs.grad = ours.grad.clone()
        muon.step()
        peer.step()
    moved = (ours - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved, "bfloat16 rounds to 8 bits"
    assert moved > 0.1
