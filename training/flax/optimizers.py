"""AdamW: from sums of gradients to the next weights, as one compiled function.

Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2, with the learning rate r, the decay d and gradients g of the mean loss, whose
norm is clipped first:

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = (1 - r d) w - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + e)

Optax has the moments. Clipping is PyTorch's, with 1e-6 in the denominator; decay pulls matrices alone to zero: for biases and norms that
would be a loss without a gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from models.flax.flax_network import State
from models.network import Weights
from training.options import TrainingOptions

_MOMENTS = {"exp_avg": "mu", "exp_avg_sq": "nu"}  # the names that PyTorch has for them, and Optax


class Descended(NamedTuple):
    """The result of one step."""

    weights: State
    moments: optax.ScaleByAdamState
    norm: Array  # of the gradient, before clipping


class AdamW:
    """One step after another on the parameters that learn, each with its own scale of the learning rate."""

    def __init__(self, scales: Mapping[str, float], options: TrainingOptions, betas: tuple[float, float]) -> None:
        self._scales, self._options = scales, options
        self._adam = optax.scale_by_adam(*betas, eps=1e-8)

    def start(self, weights: State) -> optax.ScaleByAdamState:
        """Moments before the first step: zeros, which numpy makes without compiling anything."""
        shapes = jax.eval_shape(self._adam.init, weights)
        moments: optax.ScaleByAdamState = jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), shapes)
        return moments

    def step(
        self, weights: State, moments: optax.ScaleByAdamState, totals: State, answers: Array, loss: Array, rate: Array
    ) -> Descended:
        """The weights after a step on the summed gradients of so many answers; as they were if loss or norm is not finite."""
        gradients = {name: total / answers for name, total in totals.items()}
        norm = optax.tree.norm(gradients)
        clip = self._options.clip
        factor = jnp.where(norm > clip, clip / (norm + 1e-6), 1.0)
        directions, after = self._adam.update({name: factor * one for name, one in gradients.items()}, moments)
        moved = {name: self._move(name, weight, directions[name], rate) for name, weight in weights.items()}
        is_finite = jnp.isfinite(norm) & jnp.isfinite(loss)
        kept = jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), (moved, after), (weights, moments))
        return Descended(kept[0], kept[1], norm)

    def _move(self, name: str, weight: Array, direction: Array, rate: Array) -> Array:
        rate = rate * self._scales[name]
        decay = self._options.weight_decay if weight.ndim > 1 else 0.0
        return (1 - rate * decay) * weight - rate * direction


def arrays_of(moments: optax.ScaleByAdamState) -> Weights:
    """Copies of the moments by PyTorch's names, each parameter's count of steps with them; nothing before the first step."""
    steps = np.array(moments.count, np.float32)
    if not steps:
        return {}
    named: Weights = {f"{name}/step": steps.copy() for name in moments.mu}
    for theirs, ours in _MOMENTS.items():
        named |= {f"{name}/{theirs}": np.array(value) for name, value in getattr(moments, ours).items()}
    return named


def moments_of(state: Mapping[str, NDArray[Any]], start: optax.ScaleByAdamState) -> optax.ScaleByAdamState:
    """The moments of arrays by PyTorch's names; those of `start` where there are none."""
    steps = [int(value) for name, value in state.items() if name.endswith("/step")]
    found = {
        ours: {name: np.asarray(state.get(f"{name}/{theirs}", value)) for name, value in getattr(start, ours).items()}
        for theirs, ours in _MOMENTS.items()
    }
    return start._replace(count=np.asarray(max(steps, default=0), np.int32), **found)
