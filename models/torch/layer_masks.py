"""What each layer of a stack may see: its mask, biases of positions included, and how its queries and keys are turned."""

from __future__ import annotations

from torch import Tensor

from models.config import ModelConfig
from models.torch.attention import Turn
from models.torch.masks import biased, visible
from models.torch.positions import RelativePositions, alibi, rotation

Seen = tuple[Tensor | None, Turn | None]


def seen(
    config: ModelConfig, num_layers: int, queries: Tensor, keys: Tensor, attention_mask: Tensor | None,
    relative: RelativePositions | None, *, causal: bool, explicit: bool = True,
) -> list[Seen]:  # fmt: skip
    """For each layer what it sees, of the positions of queries and keys; computed once for layers that are alike.

    Unless `explicit`, a mask of nothing but what came before is left to attention itself, which has a kernel for it.
    """
    made: dict[tuple[int, float], Seen] = {}
    bias = None
    if config.positions == "alibi":
        bias = alibi(queries, keys, config.num_heads)
    elif relative is not None:
        bias = relative(queries, keys)
    kinds = [(config.window_of(number), config.rope_base_of(number)) for number in range(num_layers)]
    for window, base in set(kinds):
        plain = not explicit and not window and attention_mask is None and bias is None
        mask = None if plain else visible(queries, keys, attention_mask, causal=causal, window=window)
        turn = rotation(queries, config.head_width, base) if config.positions == "rope" else None
        made[window, base] = biased(mask, bias), turn
    return [made[kind] for kind in kinds]
