"""Per-layer attention masks, with the biases of positions, and rotary angles."""

from __future__ import annotations

from torch import Tensor

from models.config import ModelConfig
from models.torch.attention import Rotary
from models.torch.masks import add_bias, build_mask
from models.torch.positions import RelativePositions, alibi, rotary_angles

LayerMask = tuple[Tensor | None, Rotary | None]


def layer_masks(
    config: ModelConfig, num_layers: int, queries: Tensor, keys: Tensor, attention_mask: Tensor | None,
    relative: RelativePositions | None, *, causal: bool, explicit: bool = True,
) -> list[LayerMask]:  # fmt: skip
    """Mask and rotary angles of each layer, from the positions of queries and keys; computed once for layers that are alike.

    Unless `explicit`, a mask of nothing but what came before is left to attention itself, which has a kernel for it.
    """
    made: dict[tuple[int, float], LayerMask] = {}
    bias = None
    if config.positions == "alibi":
        bias = alibi(queries, keys, config.num_heads)
    elif relative is not None:
        bias = relative(queries, keys)
    kinds = [(config.window_of(number), config.rope_base_of(number)) for number in range(num_layers)]
    for window, base in set(kinds):
        plain = not explicit and not window and attention_mask is None and bias is None
        mask = None if plain else build_mask(queries, keys, attention_mask, causal=causal, window=window)
        rotary = rotary_angles(queries, config.head_width, base) if config.positions == "rope" else None
        made[window, base] = add_bias(mask, bias), rotary
    return [made[kind] for kind in kinds]
