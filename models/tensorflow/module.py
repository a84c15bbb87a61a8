"""Modules and the names of their parameters: those that PyTorch's modules of the same attributes have.

Matrices are [outputs, inputs], as the checkpoint keeps them (`models/parameters.py`).

Shapes: I inputs, O outputs, N entries of a table, E width of a vector.
"""

from __future__ import annotations

import tensorflow as tf


class Module(tf.Module):
    """A `tf.Module` with attributes that are variables, modules or lists of modules."""


class Linear(Module):
    """x W^T + b."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.zeros([outputs, inputs]))
        self.bias = tf.Variable(tf.zeros([outputs])) if bias else None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """[..., I] -> [..., O]."""
        return linear(x, self.weight, self.bias)


class Table(Module):
    """A vector for each of N entries."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.zeros([entries, width]))

    def __call__(self, places: tf.Tensor) -> tf.Tensor:
        """[...] -> [..., E]."""
        return tf.gather(self.weight, places)


def linear(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """x W^T + b: [..., I] -> [..., O]. All rows as one matrix: with a product for each of a batch, TensorFlow would make a gradient of W
    for each, and add them."""
    product = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), weight, transpose_b=True)
    if bias is not None:
        product = tf.nn.bias_add(product, bias)
    return tf.reshape(product, [*x.shape[:-1], weight.shape[0]])


def named_parameters(module: Module) -> dict[str, tf.Variable]:
    """All variables by their path of attributes, as `encoder.layers.0.attention.qkv.weight`. One that several modules share is there
    once, by its first path."""
    found: dict[int, tuple[str, tf.Variable]] = {}

    def visit(value: object, path: tuple[str, ...]) -> None:
        if isinstance(value, tf.Variable):
            found.setdefault(id(value), (".".join(path), value))
        elif isinstance(value, Module):
            for name, child in vars(value).items():
                if not name.startswith("_"):  # of TensorFlow's own
                    visit(child, (*path, name))
        elif isinstance(value, list):
            for number, child in enumerate(value):
                visit(child, (*path, str(number)))

    visit(module, ())
    return dict(found.values())
