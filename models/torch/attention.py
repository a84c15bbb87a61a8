"""Scaled dot-product attention with several heads.

Vaswani et al. 2017, "Attention Is All You Need" (arXiv 1706.03762), sections 3.2.1 and 3.2.2:

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V
    MultiHead(x) = Concat(head_1, ..., head_H) W^O,  head_i = Attention(x W_i^Q, x W_i^K, x W_i^V)

With fewer heads of keys and values, each serves several queries: one, Shazeer 2019 (arXiv 1911.02150); a few, Ainslie et
al. 2023 (arXiv 2305.13245), section 2.2.

Shapes: B batch, T queries, S keys, D d_model, H heads, G heads of keys and values, K head width.
Mask polarity: True = may attend. A mask [B, S] says which keys are no padding; [B, 1, T, S] says it for each query; of
numbers, it is added to the scores.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.cache import LayerCache
from models.torch.devices import full_precision
from models.torch.dropout import dropout
from models.torch.positions import rotate
from models.torch.unpadding import Unpadding

Rotary = tuple[Tensor, Tensor]  # of RoPE: cosines and sines


class MultiHeadAttention(nn.Module):
    """Self-attention. The three projections are one matrix: one product is quicker than three, and equal to them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads, self.kv_heads, self.head_width = config.num_heads, config.kv_heads, config.head_width
        self.dropout = config.dropout_of_attention
        self.scale = 1 / math.sqrt(config.head_width) if config.scale_attention else 1.0
        width = config.num_heads * config.head_width
        self.qkv = nn.Linear(config.d_model, width + 2 * config.kv_heads * config.head_width, bias=config.bias)
        self.output = nn.Linear(width, config.d_model, bias=config.bias)

    def forward(
        self, x: Tensor, mask: Tensor | None, *, rotary: Rotary | None = None, causal: bool = False,
        cache: LayerCache | None = None, unpadding: Unpadding | None = None,
    ) -> Tensor:  # fmt: skip
        """[B, T, D] -> [B, T, D]. `causal` means a causal mask, if no other mask is given.

        With an unpadding, x and the result are the packed tokens [1, N, D].
        """
        query, key, value = self._heads(x, rotary, unpadding)
        if cache is not None:
            key, value = cache.extend(key, value)
        return self._attend(query, key, value, mask, causal, unpadding)

    def weights(self, x: Tensor, mask: Tensor | None, *, rotary: Rotary | None = None) -> Tensor:
        """The attention probabilities themselves, [B, H, T, S], each row summing to 1; for looking at, not training."""
        query, key, _ = self._heads(x, rotary)
        return plain_weights(query, self._repeat_heads(key), mask, self.scale)

    def _heads(
        self, x: Tensor, rotary: Rotary | None, unpadding: Unpadding | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        projected = self.qkv(x) if unpadding is None else unpadding.pad(self.qkv(x))
        projected = projected.unflatten(-1, (-1, self.head_width)).transpose(1, 2)  # [B, H + 2 G, T, K]
        query, key, value = projected.split([self.num_heads, self.kv_heads, self.kv_heads], 1)
        if rotary is not None:
            query, key = rotate(query, rotary), rotate(key, rotary)
        return query, key, value

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        causal: bool = False,
        unpadding: Unpadding | None = None,
    ) -> Tensor:
        key, value, share = self._repeat_heads(key), self._repeat_heads(value), self.dropout if self.training else 0.0
        causal = causal and mask is None
        if share and not query.is_cuda:
            # The kernel would draw from the generator that all threads share; on a GPU one thread computes.
            visible = (
                torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()[None, None] if causal else mask
            )
            heads = dropout(plain_weights(query, key, visible, self.scale), share) @ value
        else:
            heads = _weighted_values(query, key, value, _for_each_query(mask), share, causal, self.scale)
        joined = heads.transpose(1, 2).flatten(2)  # Concat(heads)
        out: Tensor = self.output(joined if unpadding is None else unpadding.pack(joined))
        return out

    def _repeat_heads(self, x: Tensor) -> Tensor:
        """Each head of keys or values as often as it has queries: [B, G, S, K] -> [B, H, S, K]."""
        return x if self.kv_heads == self.num_heads else x.repeat_interleave(self.num_heads // self.kv_heads, 1)


class CrossAttention(MultiHeadAttention):
    """Attention of a decoder's positions to an encoder's memory (Vaswani et al. 2017, section 3.2.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        del self.qkv
        width = config.num_heads * config.head_width
        self.query = nn.Linear(config.d_model, width, bias=config.bias)
        self.key_value = nn.Linear(config.d_model, 2 * config.kv_heads * config.head_width, bias=config.bias)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, G, S, K] of a memory [B, S, D]: the same for every target position, so computed once."""
        key, value = self.key_value(memory).unflatten(-1, (-1, self.head_width)).transpose(1, 2).chunk(2, 1)
        return key, value

    def attend(self, x: Tensor, key_value: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """[B, T, D], keys and values -> [B, T, D]."""
        return self._attend(self._queries(x), *key_value, mask)

    def attend_weights(self, x: Tensor, key_value: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """The probabilities, [B, H, T, S]: which source position each target position looks at."""
        return plain_weights(self._queries(x), self._repeat_heads(key_value[0]), mask, self.scale)

    def _queries(self, x: Tensor) -> Tensor:
        queries: Tensor = self.query(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2)  # [B, H, T, K]
        return queries


def _weighted_values(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, share: float, causal: bool, scale: float
) -> Tensor:
    """softmax(Q K^T scale) V, [B, H, T, K], by PyTorch's kernel."""
    if query.requires_grad and query.device.type == "cpu" and query.dtype != torch.float32:
        # Gradients of the CPU's kernel take several times as long in a lower precision.
        mask = mask.float() if mask is not None and mask.is_floating_point() else mask
        with full_precision(query):
            return F.scaled_dot_product_attention(
                query.float(), key.float(), value.float(), mask, share, is_causal=causal, scale=scale
            )
    return F.scaled_dot_product_attention(query, key, value, mask, share, is_causal=causal, scale=scale)


def plain_weights(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """softmax(Q K^T scale), as the paper writes it: the reference, and the maps that people look at. [B, H, T, S].

    A query that may look at nothing (padding whose window holds no token) has weights of 0, as the kernel has it.
    """
    scores, mask = query @ key.transpose(-2, -1) * scale, _for_each_query(mask)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    lowest = torch.finfo(scores.dtype).min  # not -inf: the gradient of a query without any key would be no number
    scores = scores.clamp(min=lowest)
    return scores.softmax(-1).masked_fill((scores == lowest).all(-1, keepdim=True), 0.0)


def _for_each_query(mask: Tensor | None) -> Tensor | None:
    return mask[:, None, None, :] if mask is not None and mask.ndim == 2 else mask
