"""Layers that treat each position by itself: feed-forward and norms.

    FFN(x) = f(x W_1 + b_1) W_2 + b_2             Vaswani et al. 2017, section 3.3 (f: ReLU)
    FFN(x) = (f(x W) * x V) W_2                   gated: Shazeer 2020, "GLU Variants" (arXiv 2002.05202), equation 6

GELU(x) = x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel 2016, arXiv 1606.08415); `gelu_tanh` is its
approximation by tanh, section 2, and Flax's default. SiLU(x) = x sigmoid(x).

    LayerNorm(x) = g (x - mean(x)) / sqrt(var(x) + e) + b     Ba et al. 2016 (arXiv 1607.06450), section 3
    RMSNorm(x)   = g x / sqrt(mean(x^2) + e)                  Zhang and Sennrich 2019 (arXiv 1910.07467), equation 4
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax.layers import Linear, parameter

gelu: Callable[[Array], Array] = partial(jax.nn.gelu, approximate=False)
_gelu_tanh: Callable[[Array], Array] = partial(jax.nn.gelu, approximate=True)

_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu_exact": gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": jax.nn.silu,
    "swiglu": jax.nn.silu,
    "geglu": gelu,
    "geglu_tanh": _gelu_tanh,
}


class FeedForward(nnx.Module):
    """Applied to each position alone: [..., D] -> [..., D]. Gated, `inner` stacks W (the gate) on V."""

    def __init__(self, config: ModelConfig) -> None:
        self.gated, self.function = config.has_gate, _FUNCTIONS[config.activation]
        self.inner = Linear(config.d_model, (2 if config.has_gate else 1) * config.d_ff, bias=config.bias)
        self.outer = Linear(config.d_ff, config.d_model, bias=config.bias)

    def __call__(self, x: Array) -> Array:
        inner = self.inner(x)  # [..., F], or [..., 2 F]
        if self.gated:
            gate, value = jnp.split(inner, 2, -1)
            return self.outer(self.function(gate) * value)
        return self.outer(self.function(inner))


class LayerNorm(nnx.Module):
    """[..., D] -> [..., D]; the variance is the biased one."""

    def __init__(self, width: int, epsilon: float, *, bias: bool) -> None:
        self.weight = parameter(width)
        self.bias = parameter(width) if bias else None
        self.epsilon = epsilon

    def __call__(self, x: Array) -> Array:
        centered = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centered).mean(-1, keepdims=True)
        out = centered / jnp.sqrt(variance + self.epsilon) * self.weight[...]
        return out if self.bias is None else out + self.bias[...]


class RMSNorm(nnx.Module):
    """[..., D] -> [..., D]."""

    def __init__(self, width: int, epsilon: float) -> None:
        self.weight = parameter(width)
        self.epsilon = epsilon

    def __call__(self, x: Array) -> Array:
        return x / jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + self.epsilon) * self.weight[...]


def norm(config: ModelConfig, width: int = 0) -> LayerNorm | RMSNorm:
    """The norm that the config names, of vectors of this width (default: d_model)."""
    width = width or config.d_model
    if config.norm_kind == "rms":
        return RMSNorm(width, config.layer_norm_epsilon)
    return LayerNorm(width, config.layer_norm_epsilon, bias=config.bias)
