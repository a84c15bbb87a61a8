"""The cache of a recurrent decoder: no more than its state, however long the text was.

Shapes: B batch, S source length, N layers, D d_model.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.torch.cache import DecoderCache
from models.torch.recurrent.cells import State


@dataclass
class Source:
    """The encoder's memory [B, S, D], its `keys` [B, S, D], computed once by the alignment, and its mask [B, S]."""

    memory: Tensor
    keys: Tensor
    mask: Tensor | None

    def take(self, rows: Tensor) -> Source:
        """These rows."""
        return Source(self.memory[rows], self.keys[rows], None if self.mask is None else self.mask[rows])


@dataclass
class StateCache(DecoderCache):
    """The state after the last token of each row; in an encoder-decoder also its source."""

    state: State  # each [N, B, D]
    lengths: Tensor  # [B], tokens read
    source: Source | None = None

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order, some of them perhaps more than once."""
        self.state = tuple(part[:, rows] for part in self.state)
        self.lengths = self.lengths[rows]
        self.source = None if self.source is None else self.source.take(rows)

    def read(self, state: State, new: Tensor | int) -> None:
        """`new` more tokens were read, of each row as many or [B]."""
        self.state, self.lengths = state, self.lengths + new
