"""Pixels to vectors: the input of a Transformer encoder of images, in place of token vectors.

    patches              z = [x_class; x_1 E; ...; x_N E] + E_pos         Dosovitskiy et al. 2021, "ViT" (arXiv 2010.11929),
                         x_i the pixels of one P x P square                section 3.1, equation 1
    convolutional stem   x = MaxPool(ReLU(Conv(x))), once or more,         Hassani et al. 2021, "CCT" (arXiv 2104.05704),
                         each place of the result a vector                 section 3.2, equation 3

There is a class token if a classifier uses it (pooling=cls). Positions are learned, one vector a patch, or fixed
sines of row and column; the Transformer's other kinds (rope, alibi, relative) see the patches row by row, as a text.

Shapes: B batch, C channels, H x W pixels, P side of a patch, R x S the grid of patches, N = R S, T = N or N + 1 with a class token,
D d_model. TensorFlow's convolutions have the channels last.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise

import numpy as np
import tensorflow as tf

from models.config import ModelConfig
from models.parameters import STEM_WIDTH, stem_side, stem_step
from models.position_tables import sinusoidal_of_grid
from models.tensorflow.dropout import dropout
from models.tensorflow.module import Module, Table, linear
from models.tensorflow.position_wise import norm


def image_embedding(config: ModelConfig) -> ImageEmbedding:
    """The embedding that the config names. ValueError if it names none, two, or one that does not fit the images."""
    if bool(config.patch_size) == config.convolutional_stem:
        raise ValueError(
            "a Transformer of images needs patch_size or convolutional_stem, one of them (presets vit and cct)"
        )
    return ConvolutionalStem(config) if config.convolutional_stem else Patches(config)


class ImageEmbedding(Module):
    """Common to both embeddings of images: class token, positions, norm and dropout. `grid` is [rows, columns] of vectors."""

    def __init__(self, config: ModelConfig, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.dropout, self.kind = (grid[0], grid[1]), config.dropout, config.positions
        self.class_token = ClassToken(config.d_model) if config.pooling == "cls" else None
        if config.positions == "learned":
            self.positions = Table(grid[0] * grid[1] + (self.class_token is not None), config.d_model)
        elif config.positions == "sinusoidal" and config.d_model % 4:
            raise ValueError(f"positions=sinusoidal of images needs a d_model that 4 divides; it is {config.d_model}")
        self.norm = norm(config) if config.has_embedding_norm else None

    @abstractmethod
    def vectors(self, pixels: tf.Tensor) -> tf.Tensor:
        """[B, C, H, W] -> [B, N, D], row by row."""

    def __call__(self, pixels: tf.Tensor) -> tf.Tensor:
        """[B, C, H, W] -> [B, T, D], row by row, the class token first."""
        x = self.vectors(pixels)
        if self.class_token is not None:
            first = tf.broadcast_to(self.class_token.weight, [x.shape[0], 1, x.shape[-1]])
            x = tf.concat([first, x], 1)
        if self.kind == "learned":
            x = x + self.positions.weight
        elif self.kind == "sinusoidal":
            fixed = sinusoidal_of_grid(self.grid, x.shape[-1])
            # The class token has no place; He et al. 2022 (arXiv 2111.06377) give it the vector 0.
            x = x + (fixed if self.class_token is None else np.pad(fixed, ((1, 0), (0, 0))))
        return dropout(x if self.norm is None else self.norm(x), self.dropout)


class Patches(ImageEmbedding):
    """Squares of pixels, each times one matrix."""

    def __init__(self, config: ModelConfig) -> None:
        size, height, width = config.patch_size, config.image_height, config.image_width
        if height % size or width % size:
            raise ValueError(
                f"patch_size={size} does not divide images of {width} x {height} pixels; choose one that does, or "
                "another image_size in prepare_data"
            )
        super().__init__(config, (height // size, width // size))
        self.patches = Kernel([config.d_model, config.image_channels, size, size], bias=True)

    def vectors(self, pixels: tf.Tensor) -> tf.Tensor:
        d_model, channels, size, _ = self.patches.weight.shape
        squares = tf.reshape(pixels, [-1, channels, self.grid[0], size, self.grid[1], size])
        squares = tf.transpose(squares, [0, 2, 4, 1, 3, 5])  # [B, R, S, C, P, P]
        squares = tf.reshape(squares, [pixels.shape[0], self.grid[0] * self.grid[1], -1])
        return linear(squares, tf.reshape(self.patches.weight, [d_model, -1]), self.patches.bias)


class ConvolutionalStem(ImageEmbedding):
    """CCT's convolutions and poolings: overlapping patches that also cover their neighbours."""

    def __init__(self, config: ModelConfig) -> None:
        kernel, grid = config.stem_kernel, (config.image_height, config.image_width)
        for _ in range(config.stem_layers):
            grid = stem_side(grid[0], kernel), stem_side(grid[1], kernel)
        super().__init__(config, grid)
        self.stride, self.padding = stem_step(kernel)
        widths = [config.image_channels, *[STEM_WIDTH] * (config.stem_layers - 1), config.d_model]
        self.convolutions = [Kernel([after, before, kernel, kernel], bias=False) for before, after in pairwise(widths)]

    def vectors(self, pixels: tf.Tensor) -> tf.Tensor:
        x = tf.transpose(pixels, [0, 2, 3, 1])
        for convolution in self.convolutions:
            kernel = tf.transpose(convolution.weight, [2, 3, 1, 0])
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, self.stride, _around(self.padding)))
            x = tf.nn.max_pool2d(x, 3, 2, _around(1))
        return tf.reshape(x, [x.shape[0], -1, x.shape[-1]])


class Kernel(Module):
    """Weights [outputs, inputs, height, width] of a convolution, as PyTorch has them, and biases."""

    def __init__(self, shape: list[int], *, bias: bool) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.zeros(shape))
        self.bias = tf.Variable(tf.zeros(shape[:1])) if bias else None


class ClassToken(Module):
    """A vector that is no patch, and gathers the whole image (BERT's [CLS]); starts at 0 as in ViT's own code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.zeros([width]))


def _around(padding: int) -> list[list[int]]:
    return [[0, 0], [padding, padding], [padding, padding], [0, 0]]
