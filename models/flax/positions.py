"""Encodings of positions: added vectors, rotations of queries and keys, or biases on scores.

    sinusoidal  PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(the same)   Vaswani et al. 2017, section 3.5
    RoPE        (q, k) turned by the angle p b^(-2i/K)            Su et al. 2021 (arXiv 2104.09864), section 3.2.2
    ALiBi       score - m_h |p_q - p_k|, m_h = 2^(-8h/H)          Press et al. 2022 (arXiv 2108.12409), section 3
    relative    score + r[bucket(p_k - p_q), h]                   Raffel et al. 2020, "T5" (arXiv 1910.10683), section 2.1

RoPE turns the pairs (i, i + K/2), as Llama does; the paper turns (2i, 2i + 1), which is the same network with its rows in
another order. T5's buckets are those of its code (`_relative_position_bucket`): half exact, half logarithmic.

Whatever depends on the length alone is a table of `models/position_tables.py`: a constant of the compiled program.

Shapes: B batch, T queries, S keys, H heads, K head width, D d_model.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from models.config import ModelConfig
from models.flax.layers import parameter
from models.position_tables import bucket, rotary, slopes

Rotary = tuple[Array, Array]  # of RoPE: cosines and sines


def rotary_angles(positions: Array, width: int, base: float) -> Rotary:
    """Cosines and sines [B or 1, T, 1, K] that turn the queries and keys at `positions` [B or 1, T], all of them below T."""
    cosines, sines = (jnp.asarray(table) for table in rotary(positions.shape[-1], width, base))
    return cosines[positions][:, :, None], sines[positions][:, :, None]


def rotate(x: Array, rotary: Rotary) -> Array:
    """Queries or keys [B, T, H, K], rotated."""
    first, second = jnp.split(x, 2, -1)
    return x * rotary[0] + jnp.concatenate([-second, first], -1) * rotary[1]


def alibi(queries: Array, keys: Array, heads: int) -> Array:
    """The bias [B or 1, H, T, S] of queries at positions [B or 1, T] and keys [B or 1, S]."""
    steepness = jnp.asarray(slopes(heads), jnp.float32).reshape(1, heads, 1, 1)
    return -steepness * jnp.abs(queries[..., :, None] - keys[..., None, :])[:, None].astype(jnp.float32)


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
        return bucket(distance, self.buckets, self.distance, bidirectional=self.bidirectional)
