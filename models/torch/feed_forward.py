"""The position-wise feed-forward layer.

Vaswani et al. 2017, section 3.3, with GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415) in place of ReLU as in BERT:

    FFN(x) = GELU(x W_1 + b_1) W_2 + b_2,   GELU(x) = x Phi(x), Phi the normal distribution function
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.config import EncoderConfig


class FeedForward(nn.Module):
    """Applied to each position alone: [..., D] -> [..., D]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.d_model, config.d_ff)
        self.outer = nn.Linear(config.d_ff, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.outer(F.gelu(self.inner(x)))
        return out
