"""Scaled dot-product attention with several heads.

Vaswani et al. 2017, "Attention Is All You Need" (arXiv 1706.03762), sections 3.2.1 and 3.2.2:

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V
    MultiHead(x) = Concat(head_1, ..., head_H) W^O,  head_i = Attention(x W_i^Q, x W_i^K, x W_i^V)

With fewer heads of keys and values, each serves several queries: one, Shazeer 2019 (arXiv 1911.02150); a few, Ainslie et
al. 2023 (arXiv 2305.13245), section 2.2. Here the queries of one such head are an axis of their own, and nothing is repeated.

Shapes: B batch, T queries, S keys, D d_model, H heads, G heads of keys and values, R = H / G queries of each, K head width.
Mask polarity: True = may attend. A mask [B, S] says which keys are no padding; [B or 1, 1, T, S] says it for each query.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax.dropout import dropout
from models.flax.layer_masks import LayerMask
from models.flax.layers import Linear
from models.flax.masks import for_each_query
from models.flax.positions import rotate

_LOWEST = float(jnp.finfo(jnp.float32).min)  # not -inf: the gradient of a query without any key would be no number
KeyValue = tuple[Array, Array]  # [B, S, G, K] each


class MultiHeadAttention(nnx.Module):
    """Self-attention. The three projections are one matrix: one product is quicker than three, and equal to them."""

    def __init__(self, config: ModelConfig) -> None:
        self.num_heads, self.kv_heads, self.head_width = config.num_heads, config.kv_heads, config.head_width
        self.dropout = config.dropout_of_attention
        self.scale = 1 / math.sqrt(config.head_width) if config.scale_attention else 1.0
        self.width = config.num_heads * config.head_width
        self._project(config)
        self.output = Linear(self.width, config.d_model, bias=config.bias)

    def _project(self, config: ModelConfig) -> None:
        self.qkv = Linear(config.d_model, self.width + 2 * self.kv_heads * self.head_width, bias=config.bias)

    def __call__(self, x: Array, seen: LayerMask, rngs: nnx.Rngs | None = None) -> Array:
        """[B, T, D] -> [B, T, D]."""
        query, key, value = self._heads(x, seen)
        return self._attend(query, (key, value), seen.mask, seen.bias, rngs)

    def weights(self, x: Array, seen: LayerMask) -> Array:
        """The attention probabilities themselves, [B, H, T, S], each row summing to 1; for looking at, not training."""
        query, key, _ = self._heads(x, seen)
        return attention_weights(query, key, seen.mask, self.scale, seen.bias)

    def _heads(self, x: Array, seen: LayerMask) -> tuple[Array, Array, Array]:
        """Queries [B, T, H, K], keys and values [B, T, G, K]."""
        heads = _split_heads(self.qkv(x), self.head_width)
        query, key, value = jnp.split(heads, [self.num_heads, self.num_heads + self.kv_heads], 2)
        if seen.rotary is not None:
            query, key = rotate(query, seen.rotary), rotate(key, seen.rotary)
        return query, key, value

    def _attend(
        self, query: Array, key_value: KeyValue, mask: Array | None, bias: Array | None, rngs: nnx.Rngs | None
    ) -> Array:
        key, value = key_value
        weights = dropout(attention_weights(query, key, mask, self.scale, bias), self.dropout, rngs)
        batch, heads, *lengths = weights.shape
        grouped = weights.reshape(batch, self.kv_heads, heads // self.kv_heads, *lengths)
        joined = jnp.einsum("bgrts,bsgk->btgrk", grouped, value).reshape(*query.shape[:2], self.width)  # Concat(heads)
        return self.output(joined)


class CrossAttention(MultiHeadAttention):
    """Attention of a decoder's positions to an encoder's memory (Vaswani et al. 2017, section 3.2.3)."""

    def _project(self, config: ModelConfig) -> None:
        self.query = Linear(config.d_model, self.width, bias=config.bias)
        self.key_value = Linear(config.d_model, 2 * self.kv_heads * self.head_width, bias=config.bias)

    def attend(self, x: Array, memory: Array, mask: Array | None, rngs: nnx.Rngs | None = None) -> Array:
        """[B, T, D], a memory [B, S, D] and its mask [B, S] -> [B, T, D]."""
        return self._attend(self._queries(x), self._keys_values(memory), mask, None, rngs)

    def attend_weights(self, x: Array, memory: Array, mask: Array | None) -> Array:
        """The probabilities, [B, H, T, S]: which source position each target position looks at."""
        return attention_weights(self._queries(x), self._keys_values(memory)[0], mask, self.scale)

    def _queries(self, x: Array) -> Array:
        return _split_heads(self.query(x), self.head_width)

    def _keys_values(self, memory: Array) -> KeyValue:
        key, value = jnp.split(_split_heads(self.key_value(memory), self.head_width), 2, 2)
        return key, value


def attention_weights(query: Array, key: Array, mask: Array | None, scale: float, bias: Array | None = None) -> Array:
    """softmax(Q K^T scale + bias) of queries [B, T, H, K] and keys [B, S, G, K]: [B, H, T, S].

    A query that may look at nothing (padding whose window holds no token) has weights of 0, as PyTorch's kernel has it.
    """
    batch, length, heads, width = query.shape
    grouped = query.reshape(batch, length, key.shape[2], -1, width)  # [B, T, G, R, K]
    scores = jnp.einsum("btgrk,bsgk->bgrts", grouped, key).reshape(batch, heads, length, -1) * scale
    scores = scores if bias is None else scores + bias
    if mask is None:
        return jax.nn.softmax(scores, -1)
    mask = for_each_query(mask)
    weights = jax.nn.softmax(jnp.where(mask, scores, _LOWEST), -1)
    return jnp.where(mask.any(-1, keepdims=True), weights, 0.0)


def _split_heads(x: Array, width: int) -> Array:
    """[B, T, heads K] -> [B, T, heads, K]."""
    return x.reshape(*x.shape[:-1], -1, width)
