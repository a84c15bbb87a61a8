"""Per-layer attention masks, biases of positions and rotary angles."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models.config import ModelConfig
from models.tensorflow.masks import build_mask
from models.tensorflow.positions import RelativePositions, alibi, rotary_angles


class LayerMask(NamedTuple):
    """How the queries of a layer see its keys."""

    mask: tf.Tensor | None = None  # [B or 1, 1, T, S], True where a query may attend; None: everywhere
    bias: tf.Tensor | None = None  # [B or 1, H, T, S], added to the scores
    rotary: tuple[tf.Tensor, tf.Tensor] | None = None  # of RoPE: cosines and sines


def layer_masks(
    config: ModelConfig, num_layers: int, positions: tf.Tensor, attention_mask: tf.Tensor | None,
    relative: RelativePositions | None, *, causal: bool,
) -> list[LayerMask]:  # fmt: skip
    """Mask, bias and rotary angles of each layer, from the positions of its tokens; computed once for layers that are alike."""
    made: dict[tuple[int, float], LayerMask] = {}
    bias = None
    if config.positions == "alibi":
        bias = alibi(positions, positions, config.num_heads)
    elif relative is not None:
        bias = relative(positions, positions)
    kinds = [(config.window_of(number), config.rope_base_of(number)) for number in range(num_layers)]
    for window, base in dict.fromkeys(kinds):
        mask = build_mask(positions, positions, attention_mask, causal=causal, window=window)
        rotary = rotary_angles(positions, config.head_width, base) if config.positions == "rope" else None
        made[window, base] = LayerMask(mask, bias, rotary)
    return [made[kind] for kind in kinds]
