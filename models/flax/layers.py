"""Parameters and the layers that hold them, by the names and in the shapes of `models/parameters.py`.

Flax's own `nnx.Linear` keeps its matrix as `kernel` [inputs, outputs]; the checkpoint's is `weight` [outputs, inputs], and so it stays.

Shapes: B batch, C channels, H x W pixels.
"""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx
from jax import Array, lax


def parameter(*shape: int) -> nnx.Param[Array]:
    """A parameter of this shape. Its numbers come from `models/initialization.py` or a checkpoint; until then they are numpy's, which
    takes no memory and compiles nothing."""
    return nnx.Param(np.zeros(shape, np.float32))


class Linear(nnx.Module):
    """x W^T + b."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        self.weight = parameter(outputs, inputs)
        self.bias = parameter(outputs) if bias else None

    def __call__(self, x: Array) -> Array:
        """[..., inputs] -> [..., outputs]."""
        product = x @ self.weight[...].T
        return product if self.bias is None else product + self.bias[...]


class Table(nnx.Module):
    """A vector for each number below `rows`."""

    def __init__(self, rows: int, width: int) -> None:
        self.weight = parameter(rows, width)

    def __call__(self, numbers: Array) -> Array:
        """[...] -> [..., E]."""
        return self.weight[...][numbers]


class Convolution(nnx.Module):
    """A convolution of images: kernels [outputs, channels, side, side], a bias if there is one."""

    def __init__(
        self, channels: int, outputs: int, side: int, stride: int, padding: int = 0, *, bias: bool = True
    ) -> None:
        self.weight = parameter(outputs, channels, side, side)
        self.bias = parameter(outputs) if bias else None
        self.stride, self.padding = stride, padding

    def __call__(self, pixels: Array) -> Array:
        """[B, C, H, W] -> [B, outputs, H', W']."""
        steps, edges = (self.stride, self.stride), [(self.padding, self.padding)] * 2
        out = lax.conv_general_dilated(pixels, self.weight[...], steps, edges)
        return out if self.bias is None else out + self.bias[...][:, None, None]


def max_pool(x: Array, side: int, stride: int, padding: int) -> Array:
    """The greatest number of each square: [B, C, H, W] -> [B, C, H', W']."""
    edges = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    return lax.reduce_window(x, -np.inf, jax.lax.max, (1, 1, side, side), (1, 1, stride, stride), edges)
