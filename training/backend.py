"""The calls that the loop makes on a framework, and no others: Flax and TensorFlow backends answer the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.network import Weights
from models.question import Question

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Update:
    """The result of one update: mean loss over its targets, their number, and the gradient's norm before clipping.

    `skipped`: the gradient overflowed in float16, and the weights are as before; the next update is scaled down. `parts`: how many each
    shard was computed in, more than 1 once the device's memory ran out.
    """

    loss: float
    targets: int
    gradient_norm: float
    skipped: bool = False
    parts: int = 1


@dataclass(frozen=True)
class RowLosses:
    """The loss of each row of a batch: its sum, and over how many answers. Their mean is an evaluation, their order the blame."""

    total: NDArray[np.float32]  # [B]
    targets: NDArray[np.int64]  # [B]


class Backend(Protocol):
    """A network, its optimizer and its dropout."""

    @property
    def compile_seconds(self) -> float:
        """Seconds spent so far on compiling it, for the shapes that came; 0 where nothing is compiled beforehand."""

    def update(self, shards: Sequence[Question], number: int, learning_rate: float) -> Update:
        """One optimizer step on the mean loss of all answers. `shards` are those of this rank; dropout is a function of the seed, the
        update's number and the shard.

        When the loss or the gradient is not finite, the weights are left as they were.
        """

    def row_losses(self, question: Question) -> RowLosses:
        """The loss of each row, without dropout."""

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        """The results in the order of the items: side by side on the cores of a CPU, in turn on a device, where a batch that does not
        fit its memory changes how the next ones are computed."""

    def average(self) -> AbstractContextManager[None]:
        """The average of the weights in their place, for an evaluation; without the option `ema` the weights themselves."""

    def weights(self) -> Weights:
        """Copies of all parameters, by name."""

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take these parameters."""

    def optimizer(self) -> Weights:
        """Copies of the optimizer's state, the averages of the weights included."""

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take this state."""
