"""The attention of a trained model to one text.

Shapes: H heads, T tokens that look, S tokens that are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from artifacts.tokenizer import MASK
from tasks.maps import MapsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.model import Model

ENCODER, DECODER, MEMORY = "encoder", "decoder", "memory"
PARTS = (ENCODER, DECODER, MEMORY)


@dataclass(frozen=True)
class Maps:
    """Attention weights of each layer [H, T, S]; `rows` name the T attending tokens, `columns` the S attended ones."""

    part: str
    rows: list[str]
    columns: list[str]
    layers: list[NDArray[np.float32]]


def compute_maps(model: Model, text: str, part: str = "", target: str = "", tokens: int = 24) -> Maps:
    """The maps of one part for the first `tokens` tokens of a text. MapsError if the model has no such part.

    The decoder of an encoder-decoder generates: `target`, or the model's own answer. A row is named by the token generated
    there, which the decoder has not read yet.
    """
    there = parts(model)
    if not there:
        raise MapsError(f"a model for {model.task} has no attention to look at")
    if part and part not in there:
        raise MapsError(f"--of {part}: a model for {model.task} has {', '.join(there)}")
    chosen, limit = part or there[-1], min(tokens, model.config.max_length)
    if MEMORY not in there:
        ids = _encode(model, text, limit, ends=chosen == ENCODER)
        return Maps(chosen, _pieces(model, ids), _pieces(model, ids), _layers(model, chosen, ids))
    source = _encode(model, text, limit, ends=True)
    if chosen == ENCODER:
        return Maps(chosen, _pieces(model, source), _pieces(model, source), _layers(model, chosen, source))
    written = model.tokenizer.encode(target or _answer(model, text))[: limit - 1]
    given = [model.tokenizer.cls_id, *written]
    layers = _layers(model, chosen, source, given)
    if chosen == MEMORY:
        return Maps(chosen, _pieces(model, [*written, model.tokenizer.sep_id]), _pieces(model, source), layers)
    if not layers:
        raise MapsError(
            f"--of decoder: network={model.config.network} has a state instead of attention over its own output"
        )
    return Maps(chosen, _pieces(model, given), _pieces(model, given), layers)


def parts(model: Model) -> list[str]:
    """The parts of a model that attend to something."""
    return [part for part in PARTS if model.network.attends(part)]


def _encode(model: Model, text: str, limit: int, *, ends: bool) -> list[int]:
    """Token ids of a text, `[MASK]` in it being the special token."""
    tokenizer = model.tokenizer
    ids: list[int] = []
    pieces = text.split(MASK)
    for place, piece in enumerate(pieces):
        # A word's token holds the space before it, and so does the [MASK] in its place.
        before = piece.rstrip(" ") if place < len(pieces) - 1 else piece
        ids += [tokenizer.mask_id] * (place > 0) + tokenizer.encode(before)
    if not text.strip():
        raise MapsError("the text is empty: give some words to look at")
    return tokenizer.with_ends(ids, limit) if ends else [tokenizer.cls_id, *ids][:limit]


def _answer(model: Model, text: str) -> str:
    from tasks import load

    return str(load(model.task).predict(model, [text])["prediction"].iloc[0])


def _layers(model: Model, part: str, ids: Sequence[int], target: Sequence[int] = ()) -> list[NDArray[np.float32]]:
    inputs = {"input_ids": np.array([ids])} | ({"target_ids": np.array([target])} if target else {})
    return [weights[0] for weights in model.network.attention(inputs, part)]


def _pieces(model: Model, ids: Sequence[int]) -> list[str]:
    """Written forms; sentencepiece's mark of a space becomes one."""
    return [piece.replace("▁", " ") for piece in model.tokenizer.pieces(ids)]
