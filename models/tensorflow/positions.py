"""Encodings of positions: added vectors, rotations of queries and keys, or biases on scores.

    sinusoidal  PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(the same)   Vaswani et al. 2017, section 3.5
    RoPE        (q, k) turned by the angle p b^(-2i/K)            Su et al. 2021 (arXiv 2104.09864), section 3.2.2
    ALiBi       score - m_h |p_q - p_k|, m_h = 2^(-8h/H)          Press et al. 2022 (arXiv 2108.12409), section 3
    relative    score + r[bucket(p_k - p_q), h]                   Raffel et al. 2020, "T5" (arXiv 1910.10683), section 2.1

RoPE turns the pairs (i, i + K/2), as Llama does; the paper turns (2i, 2i + 1), which is the same network with its rows in
another order. T5's buckets are those of its code (`_relative_position_bucket`): half exact, half logarithmic.

Lengths are known when a network is traced, so that numpy computes the tables of all positions or distances, once for each shape.

Shapes: B batch, T queries, S keys, P positions of a table, H heads, K head width, D d_model.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.config import ModelConfig
from models.tensorflow.module import Module

Numbers = NDArray[np.float32]


def sinusoidal(count: int, width: int) -> Numbers:
    """Vectors [P, D] of the first positions: sines at even places, cosines at odd ones.

    Angles are of double precision: in single, those of position 1000 are off by 6e-5, more than two networks may differ.
    """
    rates = np.exp(np.arange(0, width, 2, dtype=np.float64) * (-math.log(10_000.0) / width))
    angles = np.arange(count)[:, None] * rates  # [P, D/2]
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(count, -1)[:, :width].astype(np.float32)


def rotary_angles(positions: tf.Tensor, width: int, base: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Cosines and sines [B or 1, T, 1, K] that turn the queries and keys at `positions` [B or 1, T].

    Rates and angles are rounded to single precision, and the rates are a division, as Llama's code has it: rounded otherwise, the angles
    of far positions are not those that its weights were trained with (at position 4000 by 6e-5).
    """
    powers = np.power(base, (np.arange(0, width, 2, dtype=np.float32) / np.float32(width)).astype(np.float64))
    rates = np.float32(1) / powers.astype(np.float32)
    angles = np.arange(positions.shape[-1], dtype=np.float32)[:, None] * np.tile(rates, 2)  # [P, K]
    cosines, sines = (function(angles.astype(np.float64)).astype(np.float32) for function in (np.cos, np.sin))
    return tf.gather(cosines, positions)[:, :, None], tf.gather(sines, positions)[:, :, None]


def rotate(x: tf.Tensor, rotary: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Queries or keys [B, T, H, K], rotated."""
    first, second = tf.split(x, 2, -1)
    return x * rotary[0] + tf.concat([-second, first], -1) * rotary[1]


def alibi(queries: tf.Tensor, keys: tf.Tensor, heads: int) -> tf.Tensor:
    """The bias [B or 1, H, T, S] of queries at positions [B or 1, T] and keys [B or 1, S].

    For a number of heads that is no power of two, the slopes are those of the paper's own code: the next lower power's, and
    every other one of the power above.
    """
    slopes = np.array(_slopes(heads), np.float32).reshape(1, heads, 1, 1)
    return -slopes * tf.cast(tf.abs(queries[:, None, :, None] - keys[:, None, None, :]), tf.float32)


def _slopes(heads: int) -> list[float]:
    power = 2 ** math.floor(math.log2(heads))
    own = [2.0 ** (-8 * (h + 1) / power) for h in range(power)]
    return own if power == heads else own + _slopes(2 * power)[0::2][: heads - power]


class RelativePositions(Module):
    """T5's bias on scores, learned for each bucket of distances and each head; one for all layers of a stack."""

    def __init__(self, config: ModelConfig, *, bidirectional: bool) -> None:
        super().__init__()
        self.bidirectional = bidirectional
        self.buckets, self.distance = config.relative_buckets, config.relative_distance
        self.weight = tf.Variable(tf.zeros([self.buckets, config.num_heads]))

    def __call__(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Positions [B or 1, T] and [B or 1, S] -> bias [B or 1, H, T, S]."""
        furthest = max(queries.shape[-1], keys.shape[-1]) - 1
        table = bucket(
            np.arange(-furthest, furthest + 1), self.buckets, self.distance, bidirectional=self.bidirectional
        )
        buckets = tf.gather(table, keys[:, None, :] - queries[:, :, None] + furthest)  # [B or 1, T, S]
        return tf.transpose(tf.gather(self.weight, buckets), [0, 3, 1, 2])


def bucket(distance: NDArray[Any], buckets: int, furthest: int, *, bidirectional: bool) -> NDArray[np.int64]:
    """T5's bucket of each distance p_k - p_q."""
    offset = np.zeros_like(distance)
    if bidirectional:  # half of the buckets for what comes before, half for what comes after
        buckets //= 2
        offset = (distance > 0) * buckets
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    exact = buckets // 2
    share = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    share = share / np.float32(math.log(furthest / exact))
    far = np.minimum(exact + (share * np.float32(buckets - exact)).astype(np.int64), buckets - 1)
    return offset + np.where(distance < exact, distance, far)
