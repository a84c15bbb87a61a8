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
from functools import partial

import tensorflow as tf

from models.config import ModelConfig
from models.tensorflow.module import Linear, Module

_gelu, _gelu_tanh = (partial(tf.nn.gelu, approximate=approximate) for approximate in (False, True))

_FUNCTIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "relu": tf.nn.relu,
    "gelu_exact": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": tf.nn.silu,
    "swiglu": tf.nn.silu,
    "geglu": _gelu,
    "geglu_tanh": _gelu_tanh,
}


class FeedForward(Module):
    """Applied to each position alone: [..., D] -> [..., D]. Gated, `inner` stacks W (the gate) on V."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gated, self.function = config.has_gate, _FUNCTIONS[config.activation]
        self.inner = Linear(config.d_model, (2 if config.has_gate else 1) * config.d_ff, bias=config.bias)
        self.outer = Linear(config.d_ff, config.d_model, bias=config.bias)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        inner = self.inner(x)  # [..., F], or [..., 2 F]
        if self.gated:
            gate, value = tf.split(inner, 2, -1)
            return self.outer(self.function(gate) * value)
        return self.outer(self.function(inner))


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last dimension, scaled and shifted."""

    def __init__(self, width: int, epsilon: float, *, bias: bool) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = tf.Variable(tf.ones([width]))
        self.bias = tf.Variable(tf.zeros([width])) if bias else None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
        out = centred * tf.math.rsqrt(variance + self.epsilon) * self.weight
        return out if self.bias is None else out + self.bias


class RMSNorm(Module):
    """Mean square 1 over the last dimension, scaled."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = tf.Variable(tf.ones([width]))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + self.epsilon) * self.weight


def norm(config: ModelConfig, width: int = 0) -> Module:
    """The norm that the config names, of vectors of this width (default: d_model)."""
    width = width or config.d_model
    if config.norm_kind == "rms":
        return RMSNorm(width, config.layer_norm_epsilon)
    return LayerNorm(width, config.layer_norm_epsilon, bias=config.bias)
