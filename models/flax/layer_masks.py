"""Per-layer attention masks, the biases of positions, and rotary angles."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array

from models.config import ModelConfig
from models.flax.masks import build_mask
from models.flax.positions import RelativePositions, Rotary, alibi, rotary_angles


class LayerMask(NamedTuple):
    """The keys that one layer's queries see, and how far away these are."""

    mask: Array | None  # [B or 1, 1, T, S]; None: everything
    bias: Array | None  # [B or 1, H, T, S], added to the scores
    rotary: Rotary | None


def layer_masks(
    config: ModelConfig, num_layers: int, queries: Array, keys: Array, attention_mask: Array | None,
    relative: RelativePositions | None, *, causal: bool,
) -> list[LayerMask]:  # fmt: skip
    """Those of each layer, from the positions of queries and keys; computed once for layers that are alike."""
    made: dict[tuple[int, float], LayerMask] = {}
    bias = relative(queries, keys) if relative is not None else None
    if config.positions == "alibi":
        bias = alibi(queries, keys, config.num_heads)
    kinds = [(config.window_of(number), config.rope_base_of(number)) for number in range(num_layers)]
    for window, base in dict.fromkeys(kinds):
        mask = build_mask(queries, keys, attention_mask, causal=causal, window=window)
        rotary = rotary_angles(queries, config.head_width, base) if config.positions == "rope" else None
        made[window, base] = LayerMask(mask, bias, rotary)
    return [made[kind] for kind in kinds]
