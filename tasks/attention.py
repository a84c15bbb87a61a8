"""The attention of one example, for the report."""

from __future__ import annotations

from typing import cast

from tasks.evaluation import AttentionMaps, Block, Texts
from tasks.model import Model

_TOKENS = 24  # more cannot be read on a page


def attention_of(model: Model, text: str) -> Block:
    """The attention maps of every head for the beginning of a text; of a network that has none, a word about that."""
    import torch

    from models.torch import Encoder

    ids = model.tokenizer.with_ends(model.tokenizer.encode(text), min(_TOKENS, model.config.max_length))
    encoder = cast(Encoder, model.network.get_submodule("encoder"))
    if not hasattr(encoder, "attention_maps"):
        return Texts("Attention", f"This network is {model.config.network}: it has no attention that could be shown.")
    maps = {
        f"layer {layer + 1}, head {head + 1}": [[round(float(p), 3) for p in row] for row in weights[0, head]]
        for layer, weights in enumerate(encoder.attention_maps(torch.tensor([ids])))
        for head in range(weights.shape[1])
    }
    note = (
        "The beginning of one text, one map a head. A row is a token, a column what it looks at. Each row sums to 1; "
        "colours are relative to the strongest look of the map."
    )
    return AttentionMaps("Attention", note, [piece.replace("▁", " ") for piece in model.tokenizer.pieces(ids)], maps)
