"""Pictures for the report: images with predictions, and attention over images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from artifacts.images import decode, pixels_of, png
from tasks.evaluation import Block, Evaluation, Images, Picture
from tasks.image_classification.pixels import as_pixels, batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.config import ModelConfig

_WITH_ATTENTION = 6
_SIDE = 160  # pixels of a picture's longer side at most: the page scales smaller ones up
_HEAT = np.array([213, 94, 0])  # after Okabe and Ito, as the page's colours


def thumbnail(content: bytes) -> bytes:
    """An image file's content, small enough for a page, as PNG."""
    image = decode(content)
    scale = min(1.0, _SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    return png(pixels_of(image, height, width, 1 if image.mode == "L" else 3))


def overlay(content: bytes, heat: NDArray[np.float64], config: ModelConfig) -> bytes:
    """The image in grey, each patch tinted in proportion to its `heat` [rows, columns], the highest most."""
    grey = pixels_of(decode(content), config.image_height, config.image_width, 1)[..., 0].astype(float)
    times = max(1, _SIDE // max(grey.shape))  # so that the borders of patches are sharp
    grey = grey.repeat(times, 0).repeat(times, 1)
    strength = heat / max(float(heat.max()), 1e-12)
    place = [np.arange(side) * count // side for side, count in zip(grey.shape, heat.shape, strict=True)]
    share = 0.75 * strength[place[0]][:, place[1]][..., None]
    return png((0.6 * grey[..., None] * (1 - share) + _HEAT * share).round().clip(0, 255))


def picture(evaluation: Evaluation, place: int) -> Picture:
    """The image of a question, captioned with the model's prediction."""
    question, prediction = evaluation.questions.loc[place], evaluation.predictions.loc[place]
    sure, found, expected = f"{prediction['probability']:.0%}", prediction["prediction"], question["expected"]
    caption = f"✓ {found} ({sure})" if found == expected else f"✗ {expected}, taken for {found} ({sure})"
    alt = f"Image {question['id']} of class {expected}, predicted {found} with probability {sure}"
    return Picture(thumbnail(evaluation.questions["image"].loc[place]), caption, alt)


def attention(evaluation: Evaluation, right: NDArray[np.bool_]) -> list[Block]:
    """A few images, errors among them, each next to its attention. Returns an empty list if the network has no attention."""
    from models.torch.rollout import patch_attention

    order = np.concatenate([np.flatnonzero(~right)[: _WITH_ATTENTION // 2], np.flatnonzero(right)])[:_WITH_ATTENTION]
    contents = [evaluation.questions["image"].loc[place] for place in order]
    config = evaluation.model.config
    _, batch = next(batches(contents, config))
    heats = patch_attention(evaluation.model.network, as_pixels(batch, config))
    if heats is None:
        return []
    items = []
    for place, content, heat in zip(order, contents, heats, strict=True):
        row, column = (int(i) + 1 for i in np.unravel_index(heat.argmax(), heat.shape))
        alt = f"The same image; attention is strongest at the patch in row {row}, column {column} of {heat.shape[0]} x {heat.shape[1]}"
        items += [picture(evaluation, place), Picture(overlay(content, heat, config), "its attention", alt)]
    note = (
        "Attention rollout (Abnar and Zuidema 2020) through all layers: the stronger the colour, the more of a patch reached "
        "what the classifier sees. Colours are relative to the strongest patch of an image."
    )
    return [Images("Attention over patches", note, items)]
