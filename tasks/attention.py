"""The attention of one example, for the report."""

from __future__ import annotations

import numpy as np

from tasks.evaluation import AttentionMaps, Block, Texts
from tasks.model import Model

_TOKENS = 24  # more cannot be read on a page


def attention_of(model: Model, text: str) -> Block:
    """The attention maps of every head for the beginning of a text; of a network that has none, a word about that.

    Of the encoder, or of a decoder that stands alone.
    """
    tokenizer, limit, network = model.tokenizer, min(_TOKENS, model.config.max_length), model.network
    part = "encoder" if "encoder" in network.parts else "decoder"
    if not network.attends(part):
        return Texts("Attention", f"This network is {model.config.network}: it has no attention that could be shown.")
    if part == "encoder":
        ids, looks_at = tokenizer.with_ends(tokenizer.encode(text), limit), "what it looks at"
    else:
        ids = [tokenizer.cls_id, *tokenizer.encode(text)][:limit]
        looks_at = "what it looks at: itself and what came before"
    layers = network.attention({"input_ids": np.array([ids])}, part)
    maps = {
        f"layer {layer}, head {head}": [[round(float(p), 3) for p in row] for row in weights]
        for layer, heads in enumerate(layers, 1)
        for head, weights in enumerate(heads[0], 1)
    }
    note = (
        f"The beginning of one text, one map a head. A row is a token, a column {looks_at}. Each row sums to 1; colours "
        "are relative to the strongest look of the map."
    )
    return AttentionMaps("Attention", note, [piece.replace("▁", " ") for piece in tokenizer.pieces(ids)], maps)
