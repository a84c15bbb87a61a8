"""AdamW: from sums of gradients to the next weights, one parameter after another.

Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2, with the learning rate r, the decay d and gradients g of the mean loss, scaled
down where the norm of all of them is above `clip`:

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = (1 - r d) w - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + e)

Optax has the moments. Clipping is PyTorch's, with 1e-6 in the denominator; decay pulls matrices alone to zero: for biases and norms that
would be a loss without a gain. A parameter that no answer depends on has a gradient of 0 here, and decays; PyTorch leaves it alone.

There is a program for each shape of parameter, and not one for all: more layers do not take longer to compile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from models.flax.compilation import Compiled
from models.flax.flax_network import State
from models.network import Weights
from training.options import TrainingOptions

Moments = dict[str, optax.ScaleByAdamState]  # of each parameter that learns: its count of steps, and m and v
_NAMES = {"step": "count", "exp_avg": "mu", "exp_avg_sq": "nu"}  # of the state, in PyTorch and in Optax


class AdamW:
    """One step after another on the parameters that learn, each with its own scale of the learning rate."""

    def __init__(self, scales: Mapping[str, float], options: TrainingOptions, betas: tuple[float, float]) -> None:
        self._scales, self._options = scales, options
        self._adam = optax.scale_by_adam(*betas, eps=1e-8)
        self._square = Compiled(lambda total: jnp.square(total).sum())
        self._move = Compiled(self._descend, donate_argnums=(0, 1))

    @property
    def compile_seconds(self) -> float:
        """Seconds spent on compiling so far."""
        return self._square.seconds + self._move.seconds

    def start(self, weights: State) -> Moments:
        """Moments before the first step: zeros, which numpy makes without compiling anything."""
        shapes = {name: jax.eval_shape(self._adam.init, weight) for name, weight in weights.items()}
        return jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), shapes)

    def norm(self, totals: State) -> float:
        """The norm of all of them; they are added in one order, in double precision."""
        return math.sqrt(sum([float(square) for square in map(self._square, totals.values())]))

    def step(
        self, weights: State, moments: Moments, totals: State, *, answers: int, norm: float, rate: float
    ) -> tuple[State, Moments]:
        """Weights and moments after a step on the summed gradients of so many answers, whose mean has this norm."""
        clip = self._options.clip
        factor = np.float32((clip / (norm + 1e-6) if norm > clip else 1.0) / answers)
        moved = {
            name: self._move(weight, moments[name], totals[name], factor, *self._rates(name, weight, rate))
            for name, weight in weights.items()
        }
        after = {name: moments for name, (_, moments) in moved.items()}
        return {name: weight for name, (weight, _) in moved.items()}, after

    def _descend(
        self, weight: Array, moments: optax.ScaleByAdamState, total: Array, factor: Array, rate: Array, kept: Array
    ) -> tuple[Array, optax.ScaleByAdamState]:
        direction, moments = self._adam.update(total * factor, moments)
        return kept * weight - rate * direction, moments

    def _rates(self, name: str, weight: Array, rate: float) -> tuple[np.float32, np.float32]:
        """A parameter's learning rate, and the share of it that its decay keeps."""
        rate *= self._scales[name]
        decay = self._options.weight_decay if weight.ndim > 1 else 0.0
        return np.float32(rate), np.float32(1 - rate * decay)


def arrays_of(moments: Moments) -> Weights:
    """Copies of the moments by PyTorch's names; nothing before the first step."""
    return {
        f"{name}/{theirs}": np.array(getattr(one, ours), np.float32)
        for name, one in moments.items()
        if int(one.count)
        for theirs, ours in _NAMES.items()
    }


def moments_of(state: Mapping[str, NDArray[Any]], start: Moments) -> Moments:
    """The moments of arrays by PyTorch's names; those of `start` where there are none."""
    return {
        name: one._replace(
            **{
                ours: np.array(state[f"{name}/{theirs}"], getattr(one, ours).dtype)
                for theirs, ours in _NAMES.items()
                if f"{name}/{theirs}" in state
            }
        )
        for name, one in start.items()
    }
