"""Encodings of positions: added vectors, rotations of queries and keys, or biases on scores.

    sinusoidal  PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(the same)   Vaswani et al. 2017, section 3.5
    RoPE        (q, k) turned by the angle p b^(-2i/K)            Su et al. 2021 (arXiv 2104.09864), section 3.2.2
    ALiBi       score - m_h |p_q - p_k|, m_h = 2^(-8h/H)          Press et al. 2022 (arXiv 2108.12409), section 3
    relative    score + r[bucket(p_k - p_q), h]                   Raffel et al. 2020, "T5" (arXiv 1910.10683), section 2.1

RoPE turns the pairs (i, i + K/2), as Llama does; the paper turns (2i, 2i + 1), which is the same network with its rows in
another order. T5's buckets are those of its code (`_relative_position_bucket`): half exact, half logarithmic.

JAX computes in single precision, and rounds sines, powers and logarithms as its compiler pleases. So whatever depends on the length
alone is a table that numpy computes in double precision, once for each length that is compiled: a constant of the program.

Shapes: B batch, T queries, S keys, H heads, K head width, D d_model.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from models.config import ModelConfig
from models.flax.layers import parameter

Rotary = tuple[Array, Array]  # of RoPE: cosines and sines


def sinusoidal(length: int, width: int) -> NDArray[np.float32]:
    """[T, D]: sines at even places, cosines at odd ones."""
    rates = np.exp(np.arange(0, width, 2, dtype=np.float64) * (-math.log(10_000.0) / width))
    angles = np.arange(length, dtype=np.float64)[:, None] * rates  # [T, D/2]
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, -1)[:, :width].astype(np.float32)


def rotary_angles(positions: Array, width: int, base: float) -> Rotary:
    """Cosines and sines [B or 1, T, 1, K] that turn the queries and keys at `positions` [B or 1, T], all of them below T.

    Exponents, rates and angles are rounded to single precision one by one, as Llama's code has them: otherwise the angles of far
    positions are not those that its weights were trained with (at position 4000 by 6e-5).
    """
    length = positions.shape[-1]
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    rates = np.float32(1) / np.power(float(np.float32(base)), exponents.astype(np.float64)).astype(np.float32)
    angles = np.tile(np.arange(length, dtype=np.float32)[:, None] * rates, 2).astype(np.float64)  # [T, K]
    cosines, sines = (jnp.asarray(turn(angles), jnp.float32) for turn in (np.cos, np.sin))
    return cosines[positions][:, :, None], sines[positions][:, :, None]


def rotate(x: Array, rotary: Rotary) -> Array:
    """Queries or keys [B, T, H, K], rotated."""
    first, second = jnp.split(x, 2, -1)
    return x * rotary[0] + jnp.concatenate([-second, first], -1) * rotary[1]


def alibi(queries: Array, keys: Array, heads: int) -> Array:
    """The bias [B or 1, H, T, S] of queries at positions [B or 1, T] and keys [B or 1, S].

    For a number of heads that is no power of two, the slopes are those of the paper's own code: the next lower power's, and
    every other one of the power above.
    """
    slopes = jnp.asarray(_slopes(heads), jnp.float32).reshape(1, heads, 1, 1)
    return -slopes * jnp.abs(queries[..., :, None] - keys[..., None, :])[:, None].astype(jnp.float32)


def _slopes(heads: int) -> list[float]:
    power = 2 ** math.floor(math.log2(heads))
    own = [2.0 ** (-8 * (h + 1) / power) for h in range(power)]
    return own if power == heads else own + _slopes(2 * power)[0::2][: heads - power]


class RelativePositions(nnx.Module):
    """T5's bias on scores, learned for each bucket of distances and each head; one for all layers of a stack."""

    def __init__(self, config: ModelConfig, *, bidirectional: bool) -> None:
        self.bidirectional = bidirectional
        self.buckets, self.distance = config.relative_buckets, config.relative_distance
        self.weight = parameter(self.buckets, config.num_heads)

    def __call__(self, queries: Array, keys: Array) -> Array:
        """Positions [B or 1, T] below T and [B or 1, S] below S -> bias [B or 1, H, T, S]."""
        before, after = queries.shape[-1] - 1, keys.shape[-1]
        buckets = jnp.asarray(self._bucket(np.arange(-before, after)))
        distance = keys[..., None, :] - queries[..., :, None]  # [B or 1, T, S]
        return jnp.moveaxis(self.weight[...][buckets[distance + before]], -1, 1)

    def _bucket(self, distance: NDArray[np.int64]) -> NDArray[np.int32]:
        """The bucket of each distance, in numbers rounded as PyTorch rounds them: an edge may lie on a whole one."""
        buckets, offset = self.buckets, np.zeros_like(distance)
        if self.bidirectional:  # half of the buckets for what comes before, half for what comes after
            buckets //= 2
            offset = (distance > 0) * buckets
            distance = np.abs(distance)
        else:
            distance = np.maximum(-distance, 0)
        exact = buckets // 2
        share = _log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
        share = share / np.float32(math.log(self.distance / exact)) * np.float32(buckets - exact)
        far = np.minimum(exact + share.astype(np.int64), buckets - 1)
        return (offset + np.where(distance < exact, distance, far)).astype(np.int32)


def _log(x: NDArray[np.float32]) -> NDArray[Any]:
    return np.log(x.astype(np.float64)).astype(np.float32)
