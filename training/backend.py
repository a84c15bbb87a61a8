"""The calls that the loop makes on a framework, and no others: Flax and TensorFlow backends answer the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.batches import Batch

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Update:
    """The result of one update: mean loss over its targets, their number, and the gradient's norm before clipping."""

    loss: float
    targets: int
    gradient_norm: float


class Backend(Protocol):
    """A network, its optimizer and its randomness."""

    def update(self, batch: Batch, number: int, learning_rate: float) -> Update:
        """One optimizer step. Masks and dropout are drawn from a generator seeded by the update's number.

        When the loss or the gradient is not finite, the weights are left as they were.
        """

    def loss(self, batch: Batch, number: int) -> tuple[float, int]:
        """Sum of the loss over a batch's targets, without dropout, and how many these are. The masks are a function
        of `number`, so that every evaluation asks the same."""

    def weights(self) -> Tensors:
        """Copies of all parameters, by name."""

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take these parameters."""

    def optimizer(self) -> Tensors:
        """Copies of the optimizer's state."""

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take this state."""
