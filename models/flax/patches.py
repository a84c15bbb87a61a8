"""Pixels to vectors: the input of a Transformer encoder of images, in place of token vectors.

    patches              z = [x_class; x_1 E; ...; x_N E] + E_pos         Dosovitskiy et al. 2021, "ViT" (arXiv 2010.11929),
                         x_i the pixels of one P x P square                section 3.1, equation 1
    convolutional stem   x = MaxPool(ReLU(Conv(x))), once or more,         Hassani et al. 2021, "CCT" (arXiv 2104.05704),
                         each place of the result a vector                 section 3.2, equation 3

There is a class token if a classifier uses it (pooling=cls). Positions are learned, one vector a patch, or fixed
sines of row and column; the Transformer's other kinds (rope, alibi, relative) see the patches row by row, as a text.

Shapes: B batch, C channels, H x W pixels, R x S the grid of patches, N = R S, T = N or N + 1 with a class token, D d_model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax.dropout import dropout
from models.flax.layers import Convolution, Table, max_pool, parameter
from models.flax.position_wise import norm
from models.parameters import STEM_WIDTH, stem_side, stem_step
from models.position_tables import sinusoidal_of_grid


def image_embedding(config: ModelConfig) -> ImageEmbedding:
    """The embedding that the config names. ValueError if it names none, two, or one that does not fit the images."""
    if bool(config.patch_size) == config.convolutional_stem:
        raise ValueError(
            "a Transformer of images needs patch_size or convolutional_stem, one of them (presets vit and cct), "
            "or network=residual"
        )
    return ConvolutionalStem(config) if config.convolutional_stem else Patches(config)


class ImageEmbedding(nnx.Module, ABC):
    """Common to both embeddings of images: class token, positions, norm and dropout. `grid` is [rows, columns] of vectors."""

    def __init__(self, config: ModelConfig, grid: tuple[int, int]) -> None:
        self.grid, self.dropout, self.kind = grid, config.dropout, config.positions
        self.class_token = ClassToken(config.d_model) if config.pooling == "cls" else None
        if config.positions == "learned":
            self.positions = Table(grid[0] * grid[1] + (self.class_token is not None), config.d_model)
        elif config.positions == "sinusoidal" and config.d_model % 4:
            raise ValueError(f"positions=sinusoidal of images needs a d_model that 4 divides; it is {config.d_model}")
        self.norm = norm(config) if config.has_embedding_norm else None

    @abstractmethod
    def vectors(self, pixels: Array) -> Array:
        """[B, C, H, W] -> [B, D, R, S]."""

    def __call__(self, pixels: Array, rngs: nnx.Rngs | None = None) -> Array:
        """[B, C, H, W] -> [B, T, D], row by row, the class token first."""
        x = self.vectors(pixels)
        x = jnp.swapaxes(x.reshape(*x.shape[:2], -1), 1, 2)  # [B, N, D]
        if self.class_token is not None:
            first = jnp.broadcast_to(self.class_token.weight[...], (len(x), 1, x.shape[-1]))
            x = jnp.concatenate([first, x], 1)
        if self.kind == "learned":
            x = x + self.positions.weight[...]
        elif self.kind == "sinusoidal":
            fixed = sinusoidal_of_grid(self.grid, x.shape[-1])
            # The class token has no place; He et al. 2022 (arXiv 2111.06377) give it the vector 0.
            x = x + (fixed if self.class_token is None else np.pad(fixed, ((1, 0), (0, 0))))
        return dropout(x if self.norm is None else self.norm(x), self.dropout, rngs)


class Patches(ImageEmbedding):
    """Squares of pixels, each times one matrix: a convolution that steps from patch to patch."""

    def __init__(self, config: ModelConfig) -> None:
        size, height, width = config.patch_size, config.image_height, config.image_width
        if height % size or width % size:
            raise ValueError(
                f"patch_size={size} does not divide images of {width} x {height} pixels; choose one that does, or "
                "another image_size in prepare_data"
            )
        super().__init__(config, (height // size, width // size))
        self.patches = Convolution(config.image_channels, config.d_model, size, size)

    def vectors(self, pixels: Array) -> Array:
        return self.patches(pixels)


class ConvolutionalStem(ImageEmbedding):
    """CCT's convolutions and poolings: overlapping patches that also cover their neighbours."""

    def __init__(self, config: ModelConfig) -> None:
        kernel, grid = config.stem_kernel, (config.image_height, config.image_width)
        for _ in range(config.stem_layers):
            grid = stem_side(grid[0], kernel), stem_side(grid[1], kernel)
        super().__init__(config, grid)
        widths = [config.image_channels, *[STEM_WIDTH] * (config.stem_layers - 1), config.d_model]
        self.convolutions = nnx.List(
            [Convolution(before, after, kernel, *stem_step(kernel), bias=False) for before, after in pairwise(widths)]
        )

    def vectors(self, pixels: Array) -> Array:
        for convolution in self.convolutions:
            pixels = max_pool(jax.nn.relu(convolution(pixels)), 3, 2, 1)
        return pixels


class ClassToken(nnx.Module):
    """A vector that is no patch, and gathers the whole image (BERT's [CLS]); starts at 0 as in ViT's own code."""

    def __init__(self, width: int) -> None:
        self.weight = parameter(width)
