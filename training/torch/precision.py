"""The scaled loss that float16 needs.

Micikevicius et al. 2018, "Mixed Precision Training" (arXiv 1710.03740), section 3.2: gradients of float16 below 2^-24 are lost as 0, so
the loss is multiplied by a scale before the backward pass, and the gradients are divided by it after. The scale is chosen as the paper's
authors do in practice (their section 3.2, last paragraph): an update whose gradient overflows is skipped and halves the scale, many
updates without an overflow double it. bfloat16 has float32's range and needs no scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.network import Weights

_FIRST, _LEAST, _MOST = 2.0**8, 2.0**-8, 2.0**24  # of a sum over a thousand answers, say
_PATIENCE = 2000  # updates without an overflow until the scale is doubled
_STATE = "loss_scale"  # in the optimizer's state of a checkpoint; no parameter has this name


class LossScale:
    """The scale of the loss: 1 and constant but for float16."""

    def __init__(self, precision: str) -> None:
        self.moves = precision == "float16"
        self.value, self.since = (_FIRST if self.moves else 1.0), 0

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to go back from."""
        return loss * self.value if self.moves else loss

    def divisor(self, answers: int) -> float:
        """The number that a scaled sum over so many answers is divided by, for the mean."""
        return answers * self.value if self.moves else answers

    def is_overflow(self, loss: float, gradient_norm: float) -> bool:
        """Whether this update's gradient was too large for float16, so that the update is skipped; adapts the scale.

        A loss that is not finite itself is no fault of the scale, nor is a gradient that overflows at the least one.
        """
        if not self.moves or not math.isfinite(loss):
            return False
        if not math.isfinite(gradient_norm):
            skipped = self.value > _LEAST
            self.value, self.since = max(_LEAST, self.value / 2), 0
            return skipped
        self.since += 1
        if self.since == _PATIENCE:
            self.value, self.since = min(_MOST, self.value * 2), 0
        return False

    def state(self) -> Weights:
        """The scale and the updates since it last changed, as an entry of the optimizer's state."""
        return {_STATE: np.array([self.value, self.since], np.float64)} if self.moves else {}

    def load(self, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Take the scale of a state, if it has one, and return the rest of it."""
        if self.moves and _STATE in state:
            self.value, self.since = float(state[_STATE][0]), int(state[_STATE][1])
        return {name: value for name, value in state.items() if name != _STATE}
