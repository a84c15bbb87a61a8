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

import numpy as np
import tensorflow as tf

from models.config import ModelConfig
from models.position_tables import bucket, rotary, slopes
from models.tensorflow.module import Module


def rotary_angles(positions: tf.Tensor, width: int, base: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Cosines and sines [B or 1, T, 1, K] that turn the queries and keys at `positions` [B or 1, T], all of them below T."""
    cosines, sines = rotary(positions.shape[-1], width, base)
    return tf.gather(cosines, positions)[:, :, None], tf.gather(sines, positions)[:, :, None]


def rotate(x: tf.Tensor, rotary: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Queries or keys [B, T, H, K], rotated."""
    first, second = tf.split(x, 2, -1)
    return x * rotary[0] + tf.concat([-second, first], -1) * rotary[1]


def alibi(queries: tf.Tensor, keys: tf.Tensor, heads: int) -> tf.Tensor:
    """The bias [B or 1, H, T, S] of queries at positions [B or 1, T] and keys [B or 1, S]."""
    steepness = np.array(slopes(heads), np.float32).reshape(1, heads, 1, 1)
    return -steepness * tf.cast(tf.abs(queries[:, None, :, None] - keys[:, None, None, :]), tf.float32)


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
