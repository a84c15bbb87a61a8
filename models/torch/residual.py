"""`network: residual`: a convolutional network of images, to see what attention changes.

He et al. 2016, "Deep Residual Learning" (arXiv 1512.03385), section 4.2, the networks for small images: a 3 x 3
convolution, then three stages of equally many blocks; the second and third stage halve the image and double the width.

    y = ReLU(x + Norm(Conv(ReLU(Norm(Conv(x))))))        figure 2; shortcuts without parameters (option A)

Norm is GroupNorm (Wu and He 2018, arXiv 1803.08494) with 16 channels a group (table 3), not the paper's BatchNorm: an image's
vectors then depend on that image alone, in training and after, and there are no running statistics in addition to the weights.

Shapes: B batch, C channels, H x W pixels, N places that are left of them, D d_model.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ModelConfig

_STAGES = 3
_GROUP = 16  # channels


class Block(nn.Module):
    """Two convolutions and a shortcut: [B, C, H, W] -> [B, C', H', W'], H' = H / stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.added = stride, outputs - inputs
        self.first, self.first_norm = _convolution(inputs, outputs, stride), _norm(outputs)
        self.second, self.second_norm = _convolution(outputs, outputs, 1), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        # The shortcut leaves out every other row and column; what the stage adds to the width begins with 0.
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return F.relu(shortcut + self.second_norm(self.second(inner)))


class Encoder(nn.Module):
    """Pixels to vectors, each of which has seen its surroundings."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not config.image_height:
            raise ValueError("network=residual is for images; choose another network for text")
        if config.num_layers % _STAGES or config.d_model % 4:
            raise ValueError(
                f"network=residual has {_STAGES} stages of equally many blocks, the last one d_model wide and the first a "
                f"quarter of it: num_layers={config.num_layers} must be a multiple of {_STAGES}, d_model={config.d_model} of 4"
            )
        self.config = config
        widths = [config.d_model // 4, config.d_model // 2, config.d_model]
        self.stem, self.stem_norm = _convolution(config.image_channels, widths[0], 1), _norm(widths[0])
        self.blocks = nn.ModuleList()
        before = widths[0]
        for stage, width in enumerate(widths):
            for number in range(config.num_layers // _STAGES):
                self.blocks.append(Block(before, width, 2 if stage and not number else 1))
                before = width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the places that are left."""
        return math.ceil(self.config.image_height / 4), math.ceil(self.config.image_width / 4)

    def forward(self, pixels: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, C, H, W] -> [B, N, D], row by row."""
        x = F.relu(self.stem_norm(self.stem(pixels)))
        for block in self.blocks:
            x = block(x)
        return x.flatten(2).transpose(1, 2)


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(width // math.gcd(width, _GROUP), width)
