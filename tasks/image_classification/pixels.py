"""Images as numbers: file contents to batches of pixel values, and these to network inputs.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts.images import ImageError, pixels
from tasks.model import count_rows
from training.batches import Batch, Examples, Ragged
from training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.config import ModelConfig
    from tasks.task import Limits

_AT_ONCE = 64  # images of a batch of predictions


def examples(images: Sequence[NDArray[np.uint8]], ids: Sequence[str], labels: NDArray[np.int64] | None) -> Examples:
    """Images of one size as examples; an image is the sequence of its pixel values, row by row."""
    values = np.concatenate([image.ravel() for image in images]) if images else np.zeros(0, np.uint8)
    size = images[0].size if images else 0
    return Examples(Ragged(values, np.arange(len(images) + 1, dtype=np.int64) * size), ids, 0, labels)


def batches(inputs: Sequence[Any], config: ModelConfig) -> Iterator[tuple[int, Batch]]:
    """Raw images as batches, each with the place of its first one. TrainingError names an image that is broken."""
    for start in range(0, len(inputs), _AT_ONCE):
        asked = inputs[start : start + _AT_ONCE]
        images = [
            read_image(value, f"image {start + number} of {len(inputs)}", config)
            for number, value in enumerate(asked, 1)
        ]
        yield start, examples(images, [str(start + i) for i in range(len(asked))], None).batch(np.arange(len(asked)))
        count_rows(len(asked))


def read_image(value: Any, name: str, config: ModelConfig | Limits) -> NDArray[np.uint8]:
    """A raw image's pixels as the network was trained on them, [H, W, C]. TrainingError begins with `name`."""
    try:
        return pixels(_content(value), config.image_height, config.image_width, config.image_channels)
    except ImageError as error:
        raise TrainingError(f"{name}: {error}") from None


def _content(value: Any) -> bytes:
    if isinstance(value, str) and value:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ImageError("text that is no base64; give an image file's content, or that as base64") from None
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def as_pixels(batch: Batch, config: ModelConfig) -> NDArray[np.float32]:
    """The pixels of a batch as [B, C, H, W], from -1 to 1 as ViT has it (google-research/vision_transformer, input_pipeline)."""
    values = batch.input_ids.astype(np.float32) / np.float32(127.5) - 1
    shaped = values.reshape(-1, config.image_height, config.image_width, config.image_channels)
    return np.ascontiguousarray(shaped.transpose(0, 3, 1, 2))
