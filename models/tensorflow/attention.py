"""Scaled dot-product attention with several heads.

Vaswani et al. 2017, "Attention Is All You Need" (arXiv 1706.03762), sections 3.2.1 and 3.2.2:

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V
    MultiHead(x) = Concat(head_1, ..., head_H) W^O,  head_i = Attention(x W_i^Q, x W_i^K, x W_i^V)

With fewer heads of keys and values, each serves several queries: one, Shazeer 2019 (arXiv 1911.02150); a few, Ainslie et
al. 2023 (arXiv 2305.13245), section 2.2.

Shapes: B batch, T queries, S keys, D d_model, H heads, G heads of keys and values, R = H / G queries of each, K head width.
Mask polarity: True = may attend.
"""

from __future__ import annotations

import math

import tensorflow as tf

from models.config import ModelConfig
from models.tensorflow.dropout import dropout
from models.tensorflow.layer_masks import LayerMask
from models.tensorflow.module import Linear, Module
from models.tensorflow.positions import rotate


class _Attention(Module):
    """Common to attention within a sequence and to a memory."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads, self.kv_heads, self.head_width = config.num_heads, config.kv_heads, config.head_width
        self.dropout = config.dropout_of_attention
        self.scale = 1 / math.sqrt(config.head_width) if config.scale_attention else 1.0

    def _split(self, x: tf.Tensor, *counts: int) -> list[tf.Tensor]:
        """[B, T, n K] -> [B, T, heads, K] of each of these counts of heads."""
        parts: list[tf.Tensor] = tf.split(tf.reshape(x, [*x.shape[:2], -1, self.head_width]), counts, 2)
        return parts

    def _attend(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, seen: LayerMask) -> tf.Tensor:
        """[B, T, H, K], twice [B, S, G, K] -> [B, T, H K]: Concat(heads)."""
        weights = dropout(attention_weights(query, key, seen, self.scale), self.dropout)
        grouped = tf.reshape(weights, [weights.shape[0], self.kv_heads, -1, *weights.shape[2:]])
        heads = tf.einsum("bgrts,bsgk->btgrk", grouped, value)
        return tf.reshape(heads, [*query.shape[:2], -1])


class MultiHeadAttention(_Attention):
    """Self-attention. The three projections are one matrix: one product is quicker than three, and equal to them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width = config.num_heads * config.head_width
        self.qkv = Linear(config.d_model, width + 2 * config.kv_heads * config.head_width, bias=config.bias)
        self.output = Linear(width, config.d_model, bias=config.bias)

    def __call__(self, x: tf.Tensor, seen: LayerMask) -> tf.Tensor:
        """[B, T, D] -> [B, T, D]."""
        return self.output(self._attend(*self._heads(x, seen), seen))

    def weights(self, x: tf.Tensor, seen: LayerMask) -> tf.Tensor:
        """The attention probabilities themselves, [B, H, T, S], each row summing to 1; for looking at, not training."""
        query, key, _ = self._heads(x, seen)
        return attention_weights(query, key, seen, self.scale)

    def _heads(self, x: tf.Tensor, seen: LayerMask) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        query, key, value = self._split(self.qkv(x), self.num_heads, self.kv_heads, self.kv_heads)
        if seen.rotary is not None:
            query, key = rotate(query, seen.rotary), rotate(key, seen.rotary)
        return query, key, value


class CrossAttention(_Attention):
    """Attention of a decoder's positions to an encoder's memory (Vaswani et al. 2017, section 3.2.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width = config.num_heads * config.head_width
        self.query = Linear(config.d_model, width, bias=config.bias)
        self.key_value = Linear(config.d_model, 2 * config.kv_heads * config.head_width, bias=config.bias)
        self.output = Linear(width, config.d_model, bias=config.bias)

    def __call__(self, x: tf.Tensor, memory: tf.Tensor, seen: LayerMask) -> tf.Tensor:
        """[B, T, D] and a memory [B, S, D] -> [B, T, D]."""
        query, (key, value) = self._queries(x), self._keys_values(memory)
        return self.output(self._attend(query, key, value, seen))

    def weights(self, x: tf.Tensor, memory: tf.Tensor, seen: LayerMask) -> tf.Tensor:
        """The probabilities, [B, H, T, S]: which source position each target position looks at."""
        return attention_weights(self._queries(x), self._keys_values(memory)[0], seen, self.scale)

    def _queries(self, x: tf.Tensor) -> tf.Tensor:
        return self._split(self.query(x), self.num_heads)[0]

    def _keys_values(self, memory: tf.Tensor) -> list[tf.Tensor]:
        return self._split(self.key_value(memory), self.kv_heads, self.kv_heads)


def attention_weights(query: tf.Tensor, key: tf.Tensor, seen: LayerMask, scale: float) -> tf.Tensor:
    """softmax(Q K^T scale) of queries [B, T, H, K] and keys [B, S, G, K]: [B, H, T, S].

    A query that may look at nothing (padding whose window holds no token) has weights of 0.
    """
    batch, length, heads, width = query.shape
    grouped = tf.reshape(query, [batch, length, key.shape[2], -1, width])  # the heads g R ... g R + R - 1 share keys
    scores = tf.reshape(tf.einsum("btgrk,bsgk->bgrts", grouped, key) * scale, [batch, heads, length, -1])
    if seen.bias is not None:
        scores += seen.bias
    if seen.mask is None:
        return tf.nn.softmax(scores)
    scores = tf.where(seen.mask, scores, scores.dtype.min)  # not -inf: gradients of a row of these would be no numbers
    return tf.where(tf.reduce_any(seen.mask, -1, keepdims=True), tf.nn.softmax(scores), 0.0)
