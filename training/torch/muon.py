"""Muon: momentum made orthogonal, for hidden matrices.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", with the scale and the decay of Liu et al. 2025, "Muon
is scalable for LLM training" (arXiv 2502.16982, section 2.2, equation 4). `torch.optim.Muon` computes in bfloat16, which takes 15 to
25 times as long on a CPU without instructions for it; this one computes in the gradient's own type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at 0: singular values end between 0.7 and 1.2, not at 1
_LIKE_ADAMW = 0.2  # root mean square of AdamW's updates, measured by Liu et al.


def orthogonalize(matrix: Tensor) -> Tensor:
    """U V^T of the matrix U S V^T [R, C], nearly: five steps of Newton and Schulz's iteration, of degree five."""
    a, b, c = _COEFFICIENTS
    x = matrix / (matrix.norm() + 1e-7)
    if transposed := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x.T if transposed else x
    return result


class Muon(torch.optim.Optimizer):
    """For matrices alone. Its updates are as large as AdamW's, so that one learning rate and one decay serve both."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(matrices, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update with Nesterov's momentum and decoupled decay."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                buffer: Tensor = state["momentum_buffer"]
                buffer.lerp_(matrix.grad, 1 - momentum)
                direction = orthogonalize(matrix.grad.lerp(buffer, momentum))
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(direction, alpha=-rate * _LIKE_ADAMW * math.sqrt(max(matrix.shape)))
