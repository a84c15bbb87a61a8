"""The attention of a trained model to one text.

Shapes: H heads, T tokens that look, S tokens that are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts.tokenizer import MASK
from tasks.maps import MapsError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from tasks.model import Model

ENCODER, DECODER, MEMORY = "encoder", "decoder", "memory"
PARTS = (ENCODER, DECODER, MEMORY)


@dataclass(frozen=True)
class Maps:
    """Of each layer the weights [H, T, S]; `rows` name the T tokens that look, `columns` the S that are looked at."""

    part: str
    rows: list[str]
    columns: list[str]
    layers: list[NDArray[np.float32]]


def compute_maps(model: Model, text: str, part: str = "", target: str = "", tokens: int = 24) -> Maps:
    """The maps of one part for the first `tokens` tokens of a text. MapsError where the model has no such part.

    A decoder beside an encoder writes: `target`, or what the model itself answers. Its row is named by the token that is
    written there, which it has not read yet.
    """
    import torch

    there = parts(model)
    if not there:
        raise MapsError(f"a model for {model.task} has no attention to look at")
    if part and part not in there:
        raise MapsError(f"--of {part}: a model for {model.task} has {', '.join(there)}")
    chosen, limit = part or there[-1], min(tokens, model.config.max_length)
    network: Any = model.network
    with torch.inference_mode():
        if MEMORY not in there:
            own = network.get_submodule(chosen)
            ids = _encode(model, text, limit, ends=chosen == ENCODER)
            found = [layer if isinstance(layer, torch.Tensor) else layer[0] for layer in own.attention_maps(_row(ids))]
            return Maps(chosen, _pieces(model, ids), _pieces(model, ids), _numbers(found))
        source = _encode(model, text, limit, ends=True)
        encoder, decoder = network.get_submodule("encoder"), network.get_submodule("decoder")
        if chosen == ENCODER:
            return Maps(
                chosen, _pieces(model, source), _pieces(model, source), _numbers(encoder.attention_maps(_row(source)))
            )
        written = model.tokenizer.encode(target or _answer(model, text))[: limit - 1]
        given = [model.tokenizer.cls_id, *written]
        asked = [*written, model.tokenizer.sep_id]
        both = decoder.attention_maps(_row(given), memory=encoder(_row(source)))
        if chosen == MEMORY:
            return Maps(chosen, _pieces(model, asked), _pieces(model, source), _numbers([cross for _, cross in both]))
        if any(own is None for own, _ in both):
            raise MapsError(
                f"--of decoder: network={model.config.network} remembers what it wrote, and looks at none of it"
            )
        return Maps(chosen, _pieces(model, given), _pieces(model, given), _numbers([own for own, _ in both]))


def parts(model: Model) -> list[str]:
    """The parts of a model that attend to something."""
    children = dict(model.network.named_children())
    there = [name for name in (ENCODER, DECODER) if name in children and hasattr(children[name], "attention_maps")]
    if {"encoder", "decoder"} <= children.keys() and DECODER in there:
        return [*there, MEMORY]
    return there


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


def _row(ids: Sequence[int]) -> torch.Tensor:
    import torch

    return torch.tensor([ids])


def _numbers(layers: Sequence[torch.Tensor]) -> list[NDArray[np.float32]]:
    return [layer[0].float().numpy() for layer in layers]


def _pieces(model: Model, ids: Sequence[int]) -> list[str]:
    """Written forms; sentencepiece's mark of a space becomes one."""
    return [piece.replace("▁", " ") for piece in model.tokenizer.pieces(ids)]
