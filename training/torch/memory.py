"""Shards in parts, where a device's memory does not hold one at once.

Losses are sums over rows, so the gradient of a shard is the sum of its parts' gradients, and dropout's masks are those of the whole
shard (`models/torch/dropout.py`): what differs from the shard at once is the order in which floats are added, and nothing else.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.network import Weights
from training.errors import TrainingError

Answer = TypeVar("Answer")

_REMEDY = "choose a smaller network or max_length, or set device=cpu"


class MemoryFit:
    """The number of parts that each shard is computed in, one after another: 1 until memory runs out, then twice as many each time."""

    def __init__(self, device: torch.device, name: str) -> None:
        """`name`: of its entry in the optimizer's state of a checkpoint; no parameter has it."""
        self.device, self.name, self.parts = device, name, 1

    def compute(self, rows: int, function: Callable[[int], Answer]) -> Answer:
        """The result of `function` with the number of parts, which grows until they fit. TrainingError if a single row of the `rows` of
        a shard does not."""
        while True:
            try:
                return function(self.parts)
            except torch.OutOfMemoryError:
                if self.parts >= rows:
                    raise TrainingError(f"out of memory on {self.device.type} with a single row: {_REMEDY}") from None
            # Not within `except`: the error holds the frames that it came through, and these their tensors.
            self.parts *= 2
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @contextmanager
    def explain(self, needed_by: str) -> Iterator[None]:
        """TrainingError in place of the error of what cannot be computed in parts."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise TrainingError(f"out of memory on {self.device.type} for {needed_by}: {_REMEDY}") from None

    def state(self) -> Weights:
        """The number of parts as an entry of the optimizer's state, once it is more than 1."""
        return {self.name: np.array(self.parts, np.float64)} if self.parts > 1 else {}

    def load(self, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Take the number of a state, if it has one that is higher, and return the rest of it."""
        if self.name in state:
            self.parts = max(self.parts, int(state[self.name].item()))
        return {name: value for name, value in state.items() if name != self.name}
