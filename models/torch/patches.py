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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ModelConfig
from models.parameters import STEM_WIDTH, stem_side, stem_step
from models.torch.devices import widen
from models.torch.dropout import dropout
from models.torch.position_wise import norm
from models.torch.positions import sinusoidal


def image_embedding(config: ModelConfig) -> ImageEmbedding:
    """The embedding that the config names. ValueError if it names none, two, or one that does not fit the images."""
    if bool(config.patch_size) == config.convolutional_stem:
        raise ValueError(
            "a Transformer of images needs patch_size or convolutional_stem, one of them (presets vit and cct), "
            "or network=residual"
        )
    return ConvolutionalStem(config) if config.convolutional_stem else Patches(config)


class ImageEmbedding(nn.Module, ABC):
    """Common to both embeddings of images: class token, positions, norm and dropout. `grid` is [rows, columns] of vectors."""

    def __init__(self, config: ModelConfig, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.dropout = grid, config.dropout
        self.class_token = ClassToken(config.d_model) if config.pooling == "cls" else None
        if config.positions == "learned":
            count = grid[0] * grid[1] + (self.class_token is not None)
            self.positions = nn.Embedding(count, config.d_model)
        elif config.positions == "sinusoidal" and config.d_model % 4:
            raise ValueError(f"positions=sinusoidal of images needs a d_model that 4 divides; it is {config.d_model}")
        self.kind = config.positions
        if config.has_embedding_norm:
            self.norm = norm(config)

    @abstractmethod
    def vectors(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, R, S]."""

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, T, D], row by row, the class token first."""
        x = widen(self.vectors(pixels)).flatten(2).transpose(1, 2)  # [B, N, D]
        if self.class_token is not None:
            x = torch.cat([self.class_token.weight.expand(len(x), 1, -1), x], 1)
        if self.kind == "learned":
            x = x + self.positions.weight
        elif self.kind == "sinusoidal":
            fixed = sinusoidal_of_grid(self.grid, x.shape[-1], x.device)
            # The class token has no place; He et al. 2022 (arXiv 2111.06377) give it the vector 0.
            x = x + (fixed if self.class_token is None else F.pad(fixed, (0, 0, 1, 0)))
        return dropout(self.norm(x) if hasattr(self, "norm") else x, self.dropout, self.training)


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
        self.patches = nn.Conv2d(config.image_channels, config.d_model, size, size)

    def vectors(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.patches(pixels)
        return out


class ConvolutionalStem(ImageEmbedding):
    """CCT's convolutions and poolings: overlapping patches that also cover their neighbours."""

    def __init__(self, config: ModelConfig) -> None:
        kernel, grid = config.stem_kernel, (config.image_height, config.image_width)
        for _ in range(config.stem_layers):
            grid = stem_side(grid[0], kernel), stem_side(grid[1], kernel)
        super().__init__(config, grid)
        widths = [config.image_channels, *[STEM_WIDTH] * (config.stem_layers - 1), config.d_model]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel, *stem_step(kernel), bias=False) for before, after in pairwise(widths)
        )

    def vectors(self, pixels: Tensor) -> Tensor:
        for convolution in self.convolutions:
            pixels = F.max_pool2d(F.relu(convolution(pixels)), 3, 2, 1)
        return pixels


class ClassToken(nn.Module):
    """A vector that is no patch, and gathers the whole image (BERT's [CLS]); starts at 0 as in ViT's own code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))


def sinusoidal_of_grid(grid: tuple[int, int], width: int, device: torch.device | None = None) -> Tensor:
    """[N, D]: half of each vector says the row, half the column (Beyer et al. 2022, arXiv 2205.01580, section 3)."""
    rows, columns = (sinusoidal(torch.arange(count, device=device), width // 2) for count in grid)
    rows, columns = rows.unsqueeze(1).expand(-1, grid[1], -1), columns.unsqueeze(0).expand(grid[0], -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)
