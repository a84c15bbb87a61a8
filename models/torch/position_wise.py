"""Layers that treat each position by itself: feed-forward and norms.

    FFN(x) = f(x W_1 + b_1) W_2 + b_2             Vaswani et al. 2017, section 3.3 (f: ReLU)
    FFN(x) = (f(x W) * x V) W_2                   gated: Shazeer 2020, "GLU Variants" (arXiv 2002.05202), equation 6

GELU(x) = x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel 2016, arXiv 1606.08415); `gelu_tanh` is its
approximation by tanh, section 2. SiLU(x) = x sigmoid(x).

    LayerNorm(x) = g (x - mean(x)) / sqrt(var(x) + e) + b     Ba et al. 2016 (arXiv 1607.06450), section 3
    RMSNorm(x)   = g x / sqrt(mean(x^2) + e)                  Zhang and Sennrich 2019 (arXiv 1910.07467), equation 4
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ModelConfig


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu_exact": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": F.silu,
    "swiglu": F.silu,
    "geglu": F.gelu,
    "geglu_tanh": _gelu_tanh,
}


class FeedForward(nn.Module):
    """Applied to each position alone: [..., D] -> [..., D]. Gated, `inner` stacks W (the gate) on V."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gated, self.function = config.has_gate, _FUNCTIONS[config.activation]
        self.inner = nn.Linear(config.d_model, (2 if config.has_gate else 1) * config.d_ff, bias=config.bias)
        self.outer = nn.Linear(config.d_ff, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.inner(x)  # [..., F], or [..., 2 F]
        if self.gated:
            gate, value = inner.chunk(2, -1)
            inner = self.function(gate) * value
        else:
            inner = self.function(inner)
        out: Tensor = self.outer(inner)
        return out


def norm(config: ModelConfig, width: int = 0) -> nn.Module:
    """The norm that the config names, of vectors of this width (default: d_model)."""
    width = width or config.d_model
    if config.norm_kind == "rms":
        return nn.RMSNorm(width, eps=config.layer_norm_epsilon)
    return nn.LayerNorm(width, eps=config.layer_norm_epsilon, bias=config.bias)
