"""Scaled dot-product attention with several heads.

Vaswani et al. 2017, "Attention Is All You Need" (arXiv 1706.03762), sections 3.2.1 and 3.2.2:

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V
    MultiHead(x) = Concat(head_1, ..., head_H) W^O,  head_i = Attention(x W_i^Q, x W_i^K, x W_i^V)

Shapes: B batch, T length, D d_model, H heads, K head width.
Mask polarity: True = may attend.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import EncoderConfig


class MultiHeadAttention(nn.Module):
    """Self-attention. The three projections are one matrix: one product is quicker than three, and equal to them."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.num_heads, self.head_width = config.num_heads, config.head_width
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.output = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, attention_mask: Tensor | None) -> Tensor:
        """[B, T, D] -> [B, T, D]. `attention_mask` [B, T]: True where a position may be attended to; None for all."""
        query, key, value = self._heads(x)
        mask = None if attention_mask is None else attention_mask[:, None, None, :]  # [B, 1, 1, T]
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)  # [B, H, T, K]
        joined: Tensor = self.output(heads.transpose(1, 2).flatten(2))  # Concat(heads) W^O
        return joined

    def weights(self, x: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The attention probabilities themselves, [B, H, T, T], each row summing to 1; for looking at, not training."""
        query, key, _ = self._heads(x)
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_width)
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask[:, None, None, :], -torch.inf)
        return scores.softmax(-1)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projected = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_width))  # [B, T, 3, H, K]
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # each [B, H, T, K]
        return query, key, value
