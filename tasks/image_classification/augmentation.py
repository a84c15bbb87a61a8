"""Images changed a little in training, each time anew, so that a network cannot learn them by heart.

    shift   moved by up to so many pixels to each side; what comes in repeats the border     He et al. 2016 (1512.03385), 4.2
    crop    a random part, its sides from this share of the image's up to all, scaled up     Szegedy et al. 2015 (1409.4842), 6
    flip    left and right exchanged, every second time                                      Krizhevsky et al. 2012, 4.1

All three are one affine map, so an image is read once, bilinearly.

Shapes: B batch, C channels, H x W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Augmentation(nn.Module):
    """Has no parameters. Draws as many numbers whatever is switched on, from the generator of the update."""

    def __init__(self, *, shift: int = 0, crop: float = 1.0, flip: bool = False) -> None:
        super().__init__()
        self.shift, self.crop, self.flip = shift, crop, flip

    def forward(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        if not self.shift and self.crop == 1.0 and not self.flip:
            return pixels
        rows, _, height, width = pixels.shape
        drawn = torch.rand(6, rows, generator=generator)
        share = 1 - (1 - self.crop) * drawn[0]  # of a side that is kept
        mirrored = torch.where(drawn[1] < 0.5, -1.0, 1.0) if self.flip else torch.ones(rows)
        # The map goes from places of the result, from -1 to 1, to places of the image.
        middle = (2 * drawn[2:4] - 1) * (1 - share)  # [2, B]: x and y
        moved = (drawn[4:6] * (2 * self.shift + 1)).floor() - self.shift
        size = torch.tensor([width, height]).unsqueeze(1)
        x, y = middle + 2 * moved / size
        nought = torch.zeros(rows)
        turned = torch.stack([
            torch.stack([share * mirrored, nought, x], -1), torch.stack([nought, share, y], -1)
        ], 1)  # fmt: skip  # [B, 2, 3]
        places = F.affine_grid(turned, list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, places, mode="bilinear", padding_mode="border", align_corners=False)
