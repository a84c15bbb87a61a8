"""Dropout, which draws from the `rngs` that a call is given; without any, a network answers and drops nothing.

Srivastava et al. 2014, "Dropout", section 4; masks are scaled by 1 / (1 - p) in training. JAX has no generator of its own: a key goes
in with the batch, and `nnx.Rngs` makes a new one of it for each mask, so that masks are a function of the key alone.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array


def dropout(x: Array, share: float, rngs: nnx.Rngs | None) -> Array:
    """Zeros at a share of the numbers, the others larger by as much."""
    return _drop(x, share, x.shape, rngs)


def drop_rows(x: Array, share: float, rngs: nnx.Rngs | None) -> Array:
    """Zeros at a share of the rows [B, ...], the others larger by as much (stochastic depth: Huang et al. 2016, arXiv 1603.09382)."""
    return _drop(x, share, (len(x), *[1] * (x.ndim - 1)), rngs)


def rngs_of(words: Array) -> nnx.Rngs:
    """The source of one shard's masks, from four words [4] of 32 bits. XLA's own generator (Philox on CPUs) takes a fraction of the
    time of JAX's default, Threefry."""
    return nnx.Rngs(dropout=jax.random.wrap_key_data(words, impl="rbg"))


def _drop(x: Array, share: float, shape: tuple[int, ...], rngs: nnx.Rngs | None) -> Array:
    if rngs is None or not share:
        return x
    kept = jax.random.bernoulli(rngs.dropout(), 1 - share, shape)
    return jnp.where(kept, x / (1 - share), 0.0)
