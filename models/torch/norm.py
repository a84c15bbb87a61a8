"""Norms: each vector to mean 0 and variance 1, or to a mean square of 1, then scaled by learned weights.

LayerNorm(x) = g (x - mean(x)) / sqrt(var(x) + e) + b     Ba et al. 2016 (arXiv 1607.06450), section 3
RMSNorm(x)   = g x / sqrt(mean(x^2) + e)                  Zhang and Sennrich 2019 (arXiv 1910.07467), equation 4
"""

from __future__ import annotations

from torch import nn

from models.config import ModelConfig


def norm(config: ModelConfig, width: int = 0) -> nn.Module:
    """The norm that the config names, of vectors of this width (default: d_model)."""
    width = width or config.d_model
    if config.norm_kind == "rms":
        return nn.RMSNorm(width, eps=config.layer_norm_epsilon)
    return nn.LayerNorm(width, eps=config.layer_norm_epsilon, bias=config.bias)
