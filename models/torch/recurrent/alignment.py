"""Attention before the transformer: how well a decoder's state goes with each place of the source.

    additive         score(s, m) = v . tanh(W s + U m + b)    Bahdanau et al. 2015 (arXiv 1409.0473), appendix A.1.2
    multiplicative   score(s, m) = s . (W m)                  Luong et al. 2015 (arXiv 1508.04025), section 3.1, "general"

    context(s) = sum over places of softmax(score(s, m)) m

Shapes: B batch, T target length, S source length, D d_model. Mask polarity: True = may attend.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import ModelConfig


class Additive(nn.Module):
    """A small network says how well the two go together."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.state = nn.Linear(config.d_model, config.d_model, bias=False)
        self.memory = nn.Linear(config.d_model, config.d_model)
        self.score = nn.Linear(config.d_model, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """U m + b, [B, S, D]: the same for every state, so computed once."""
        keys: Tensor = self.memory(memory)
        return keys

    def forward(self, states: Tensor, keys: Tensor) -> Tensor:
        """[B, T, D], [B, S, D] -> scores [B, T, S]."""
        scores: Tensor = self.score(torch.tanh(self.state(states).unsqueeze(2) + keys.unsqueeze(1))).squeeze(-1)
        return scores


class Multiplicative(nn.Module):
    """The two go together as their product says: one matrix, and no sum over T times S vectors."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.memory = nn.Linear(config.d_model, config.d_model, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """W m, [B, S, D]."""
        keys: Tensor = self.memory(memory)
        return keys

    def forward(self, states: Tensor, keys: Tensor) -> Tensor:
        """[B, T, D], [B, S, D] -> scores [B, T, S]."""
        return states @ keys.transpose(1, 2)


def attend(scores: Tensor, memory: Tensor, memory_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scores [B, T, S] -> the contexts [B, T, D], and the weights [B, T, S] that each place of the source has in them."""
    if memory_mask is not None:
        scores = scores.masked_fill(~memory_mask.unsqueeze(1), -torch.inf)
    weights = scores.softmax(-1)
    return weights @ memory, weights
