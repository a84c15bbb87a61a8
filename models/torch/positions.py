"""Encodings of positions: added vectors, rotations of queries and keys, or biases on scores.

    sinusoidal  PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(the same)   Vaswani et al. 2017, section 3.5
    RoPE        (q, k) turned by the angle p b^(-2i/K)            Su et al. 2021 (arXiv 2104.09864), section 3.2.2
    ALiBi       score - m_h |p_q - p_k|, m_h = 2^(-8h/H)          Press et al. 2022 (arXiv 2108.12409), section 3
    relative    score + r[bucket(p_k - p_q), h]                   Raffel et al. 2020, "T5" (arXiv 1910.10683), section 2.1

RoPE turns the pairs (i, i + K/2), as Llama does; the paper turns (2i, 2i + 1), which is the same network with its rows in
another order. T5's buckets are those of its code (`_relative_position_bucket`): half exact, half logarithmic.

Shapes: B batch, T queries, S keys, H heads, K head width, D d_model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.position_tables import slopes
from models.torch.devices import exact_device


def sinusoidal(positions: Tensor, width: int) -> Tensor:
    """Positions [...] -> vectors [..., D]: sines at even places, cosines at odd ones.

    Angles are of double precision: in single, those of position 1000 are off by 6e-5, more than two networks may differ.
    """
    device = exact_device(positions.device)
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64, device=device) * (-math.log(10_000.0) / width))
    angles = positions.to(device).unsqueeze(-1).double() * rates  # [..., D/2]
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :width].float().to(positions.device)


def rotary_angles(positions: Tensor, width: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [B or 1, 1, T, K] that turn the queries and keys at `positions` [B or 1, T].

    In single precision, and the rates by a division, as Llama's code has it: rounded otherwise, the angles of far positions
    are not those that its weights were trained with (at position 4000 by 6e-5).
    """
    rates = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32, device=positions.device) / width)
    angles = (positions.unsqueeze(-1).float() * rates).repeat(1, 1, 2).unsqueeze(1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys [B, H, T, K], rotated."""
    first, second = x.chunk(2, -1)
    return x * rotary[0] + torch.cat([-second, first], -1) * rotary[1]


def alibi(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    """The bias [B or 1, H, T, S] of queries at positions [B or 1, T] and keys [B or 1, S]."""
    steepness = torch.tensor(slopes(heads), device=queries.device).view(1, heads, 1, 1)
    return -steepness * (queries.unsqueeze(-1) - keys.unsqueeze(-2)).abs().unsqueeze(1).float()


class RelativePositions(nn.Module):
    """T5's bias on scores, learned for each bucket of distances and each head; one for all layers of a stack."""

    def __init__(self, config: ModelConfig, *, bidirectional: bool) -> None:
        super().__init__()
        self.bidirectional = bidirectional
        self.buckets, self.distance = config.relative_buckets, config.relative_distance
        self.weight = nn.Parameter(torch.zeros(self.buckets, config.num_heads))

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Positions [B or 1, T] and [B or 1, S] -> bias [B or 1, H, T, S]."""
        bucket = self._bucket(keys.unsqueeze(-2) - queries.unsqueeze(-1))  # [B, T, S]
        return self.weight[bucket].permute(0, 3, 1, 2)

    def _bucket(self, distance: Tensor) -> Tensor:
        buckets, offset = self.buckets, torch.zeros_like(distance)
        if self.bidirectional:  # half of the buckets for what comes before, half for what comes after
            buckets //= 2
            offset = (distance > 0).long() * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        share = torch.log(distance.float().clamp(min=1) / exact) / math.log(self.distance / exact)
        far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < exact, distance, far)
