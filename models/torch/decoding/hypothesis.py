"""The tokens that a sequence may hold, and a decoded sequence.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Alphabet:
    """The token that ends a sequence, and those that no sequence holds (padding, [CLS], [MASK])."""

    end_id: int
    never: tuple[int, ...] = ()

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logits [B, V] -> log-probabilities [B, V] among what may be produced."""
        logits = logits.float().clone()
        logits[:, list(self.never)] = -torch.inf
        return logits.log_softmax(-1)


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that was made. `ids` are without the end; `ended` says whether it came to one."""

    ids: tuple[int, ...]
    log_probability: float  # the network's own, of all tokens, the end included
    score: float  # what a beam orders by: with the length penalty; else the log-probability
    ended: bool

    @property
    def tokens(self) -> int:
        """How many tokens the probability is of."""
        return len(self.ids) + self.ended

    @classmethod
    def of(cls, tokens: Sequence[int], log_probability: float, score: float, end_id: int) -> Hypothesis:
        """From tokens, the last of which may be the end."""
        ended = tokens[-1] == end_id
        return cls(tuple(tokens[:-1] if ended else tokens), log_probability, score, ended)
