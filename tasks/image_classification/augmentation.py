"""Images changed a little in training, each time in another way, so that a network cannot learn them by heart.

    shift   moved by up to so many pixels to each side; what comes in repeats the border     He et al. 2016 (1512.03385), 4.2
    crop    a random part, its sides from this share of the image's up to all, scaled up     Szegedy et al. 2015 (1409.4842), 6
    flip    left and right exchanged, every second time                                      Krizhevsky et al. 2012, 4.1

All three are one map for each axis, so an image is read once, bilinearly.

Shapes: B batch, C channels, H x W pixels, N pixels of one axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


def augment(
    pixels: Pixels, random: np.random.Generator, *, shift: int = 0, crop: float = 1.0, flip: bool = False
) -> Pixels:
    """[B, C, H, W] -> [B, C, H, W]. Draws the same number of random numbers for all options."""
    if not shift and crop == 1.0 and not flip:
        return pixels
    rows, _, height, width = pixels.shape
    drawn = random.random((6, rows))
    share = 1 - (1 - crop) * drawn[0]  # of a side that is kept
    mirrored = np.where(drawn[1] < 0.5, -1.0, 1.0) if flip else np.ones(rows)
    # The map goes from places of the result, from -1 to 1, to places of the image.
    middle = (2 * drawn[2:4] - 1) * (1 - share)  # [2, B]: x and y
    moved = np.floor(drawn[4:6] * (2 * shift + 1)) - shift
    x = _places(width, share * mirrored, middle[0] + 2 * moved[0] / width)
    y = _places(height, share, middle[1] + 2 * moved[1] / height)
    return _read(_read(pixels, y, axis=2), x, axis=3)


def _places(size: int, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place in the image of each pixel of the result, in pixels [B, N], clipped to the border."""
    centres = (2 * np.arange(size) + 1) / size - 1
    places = ((scale[:, None] * centres + offset[:, None] + 1) * size - 1) / 2
    return np.clip(places, 0, size - 1)


def _read(pixels: Pixels, places: NDArray[np.float64], axis: int) -> Pixels:
    """The pixels at these places of one axis, between two of them by their distance."""
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, pixels.shape[axis] - 1)
    shape = [len(pixels), 1, 1, 1]
    shape[axis] = places.shape[1]
    near = (places - low).astype(np.float32).reshape(shape)
    first, second = (np.take_along_axis(pixels, index.reshape(shape), axis) for index in (low, high))
    found: Pixels = first * (1 - near) + second * near
    return found
