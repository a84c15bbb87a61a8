"""LoRA: a matrix that was trained before stays, and an update of low rank is learned.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), section 4.1:

    W = W_0 + (alpha / r) B A        B [outputs, r], 0 at the start; A [r, inputs], drawn

The module always holds W itself, so evaluations, checkpoints and all that comes later see plain weights. By the chain rule

    dL/dB = (alpha / r) dL/dW A^T        dL/dA = (alpha / r) B^T dL/dW

are exact: the factors learn as they would in a network that computes with them. The optimizer's state is that of the factors alone.

Here every linear layer of the encoder and decoder has factors; embeddings, norms and biases stay; heads learn as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.chance import generator_of
from models.network import TRUNK, Weights

_START = 1 << 41  # beyond the numbers of updates and evaluations, whose masks are drawn with the same seed
_SUFFIX = "/value"  # of a factor's name, in the optimizer's state


class LowRank:
    """Factors of these matrices, which they change."""

    def __init__(self, matrices: Mapping[str, nn.Parameter], rank: int, alpha: float, seed: int) -> None:
        self._matrices, self._scale = matrices, alpha / rank
        self._starts = {name: matrix.detach().clone() for name, matrix in matrices.items()}
        self.factors: dict[str, nn.Parameter] = {}
        for number, (name, matrix) in enumerate(matrices.items()):
            outputs, inputs = matrix.shape
            drawn = generator_of(seed, _START, number).standard_normal((rank, inputs)) / math.sqrt(inputs)
            self.factors[f"{name}/up"] = nn.Parameter(matrix.new_zeros(outputs, rank))
            self.factors[f"{name}/down"] = nn.Parameter(torch.from_numpy(drawn).to(matrix))

    @torch.no_grad()
    def take_gradients(self) -> None:
        """The factors' gradients from those of the matrices, which are dropped."""
        for name, matrix in self._matrices.items():
            up, down = self._factors_of(name)
            if matrix.grad is not None:
                up.grad = self._scale * matrix.grad @ down.T
                down.grad = self._scale * up.T @ matrix.grad
            matrix.grad = None

    @torch.no_grad()
    def merge(self) -> None:
        """Put the product of the factors into the matrices."""
        for name, matrix in self._matrices.items():
            up, down = self._factors_of(name)
            matrix.copy_(torch.addmm(self._starts[name], up, down, alpha=self._scale))

    def state(self) -> Weights:
        """Copies of the factors, by names that no optimizer's state has."""
        return {f"{name}{_SUFFIX}": factor.detach().cpu().numpy().copy() for name, factor in self.factors.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Take the factors of a state, and return the rest of it."""
        for name, factor in self.factors.items():
            factor.copy_(torch.from_numpy(np.array(state[f"{name}{_SUFFIX}"])))
        self.merge()
        return {name: value for name, value in state.items() if not name.endswith(_SUFFIX)}

    def _factors_of(self, name: str) -> tuple[Tensor, Tensor]:
        return self.factors[f"{name}/up"], self.factors[f"{name}/down"]


def without_trunk(
    learning: Mapping[str, nn.Parameter], matrices: Mapping[str, nn.Parameter]
) -> dict[str, nn.Parameter]:
    """The parameters that learn as a whole: those of the heads. The trunk's others, the matrices apart, become constants."""
    heads = {name: parameter for name, parameter in learning.items() if name.partition(".")[0] not in TRUNK}
    for name in learning.keys() - heads.keys() - matrices.keys():
        learning[name].requires_grad_(False)
    return heads
