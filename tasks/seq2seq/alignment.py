"""The attention of a decoder over the source while it writes, for the report.

Bahdanau et al. 2015 (arXiv 1409.0473), figure 3: the map of a translation is nearly its alignment of words.

Shapes: H heads, T target length, S source length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.evaluation import AttentionMaps
from tasks.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifacts.tokenizer import Tokenizer

_TOKENS = 32  # of either side; more cannot be read on a page
_MAPS = 8  # beyond, the heads of a layer are shown by their mean
_NOTE = (
    "Which source token (column) the decoder looks at as it writes a target token (row). Each row sums to 1; colours are "
    "relative to the strongest look of the map."
)


def alignment_of(model: Model, text: str, target: Sequence[int], title: str) -> AttentionMaps:
    """The maps of the attention over a source, of every layer, while `target` (ids without [CLS] and [SEP]) is written."""
    tokenizer, limit = model.tokenizer, min(_TOKENS, model.config.max_length)
    source = tokenizer.with_ends(tokenizer.encode(text), limit)
    given = [tokenizer.cls_id, *target][: limit - 1]
    # A position writes the token after it: the rows are named by what is written there.
    asked = [*target, tokenizer.sep_id][: limit - 1]
    inputs = {"input_ids": np.array([source]), "target_ids": np.array([given])}
    layers = [weights[0] for weights in model.network.attention(inputs, "memory")]
    maps = {name: [[round(float(p), 3) for p in row] for row in weights] for name, weights in _name_maps(layers)}
    columns, rows = _pieces(tokenizer, source), _pieces(tokenizer.target, asked)
    return AttentionMaps(title, f"“{text[:200]}”. {_NOTE}", columns, maps, rows)


def _name_maps(layers: Sequence[NDArray[np.float32]]) -> list[tuple[str, NDArray[np.float32]]]:
    """Maps [H, T, S] of each layer, as maps [T, S] with a name."""
    if sum(len(weights) for weights in layers) > _MAPS:
        return [(f"layer {number}, mean of its heads", weights.mean(0)) for number, weights in enumerate(layers, 1)]
    return [
        (f"layer {number}, head {head}", weights[head - 1])
        for number, weights in enumerate(layers, 1)
        for head in range(1, len(weights) + 1)
    ]


def _pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    return [piece.replace("▁", " ") for piece in tokenizer.pieces(ids)]
