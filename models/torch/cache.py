"""The cache of a decoder: keys and values at fixed places, so that no position is computed twice.

Each row has a length of its own, so that rows of mixed lengths are decoded together: the next token of row b is written
at column `lengths[b]`, over what padding may have left there, and no query looks beyond its own column.

Shapes: B batch, T new positions, S columns in use, L columns in all, G heads of keys and values, K head width, D d_model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


class DecoderCache(Protocol):
    """The calls of a cache that decoding needs, whether it holds keys and values or a recurrent state.

    A decoder makes one with `cache(rows, columns)` and reads into it with `decoder(input_ids, mask, cache=cache)`.
    """

    lengths: Tensor  # [B], tokens read of each row

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order, some of them perhaps more than once: how a beam goes on."""


@dataclass
class LayerCache:
    """Keys and values of one layer, [B, G, L, K]; `columns` [B, T] is where the new positions go, `used` is S."""

    keys: Tensor
    values: Tensor
    columns: Tensor
    used: int = 0

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new positions [B, G, T, K]. Returns all positions to attend to, [B, G, S, K]."""
        rows = torch.arange(len(key), device=key.device).unsqueeze(-1)
        self.keys[rows, :, self.columns] = key.transpose(1, 2).to(self.keys.dtype)
        self.values[rows, :, self.columns] = value.transpose(1, 2).to(self.values.dtype)
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]


@dataclass
class Cache(DecoderCache):
    """Cache of all layers. `memory` holds each layer's keys and values of the encoder's memory, if there is one."""

    layers: list[LayerCache]
    lengths: Tensor  # [B], tokens read
    memory: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    memory_mask: Tensor | None = None

    @classmethod
    def empty(
        cls, layers: int, rows: int, columns: int, heads: int, width: int,
        device: torch.device | None = None, dtype: torch.dtype = torch.float32,
    ) -> Cache:  # fmt: skip
        """Room for `columns` tokens of each row, in the type that keys and values have."""

        def room() -> Tensor:
            return torch.zeros(rows, heads, columns, width, device=device, dtype=dtype)

        nothing, lengths = (torch.zeros(rows, *more, dtype=torch.long, device=device) for more in ((0,), ()))
        return cls([LayerCache(room(), room(), nothing) for _ in range(layers)], lengths)

    def begin(self, new: int) -> Tensor:
        """The positions [B, T] of the next `new` tokens; every layer will write there."""
        columns = self.lengths.unsqueeze(-1) + torch.arange(new, device=self.lengths.device)
        used = int(columns.max()) + 1
        room = self.layers[0].keys.shape[2]
        if used > room:
            raise ValueError(f"{used} tokens, but the cache has room for {room}")
        for layer in self.layers:
            layer.columns, layer.used = columns, used
        return columns

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order, some of them perhaps more than once: how a beam goes on."""
        self.lengths = self.lengths[rows]
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
        self.memory = [(key[rows], value[rows]) for key, value in self.memory]
        self.memory_mask = None if self.memory_mask is None else self.memory_mask[rows]
