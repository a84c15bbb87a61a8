"""The calls that a search makes on a network: the next token's logits, for the rows that it follows.

Shapes: B rows of the batch, T prompt length, S source length, D d_model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Decodable(Protocol):
    """Rows that have been begun. It receives only new tokens and remembers the earlier ones."""

    @property
    def keys(self) -> Sequence[Sequence[int]]:
        """Each row's prompt without padding: random numbers depend on it and the seed, not on the other rows."""
        ...

    def begin(self) -> Tensor:
        """Logits [B, V] of each row's first token. Called once."""
        ...

    def go_on(self, tokens: Tensor) -> Tensor:
        """Tokens [B] that were chosen -> logits [B, V] of the next ones."""
        ...

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order, some perhaps more than once."""
        ...


class Continuation:
    """A decoder alone that goes on with prompts: rows of mixed lengths, read in one pass and then never again."""

    def __init__(self, decoder: Any, head: nn.Module, prompts: Tensor, mask: Tensor, room: int) -> None:
        """Prompts [B, T], padded at the end where `mask` [B, T] is False; `room` for so many new tokens."""
        # Any: methods besides `forward` are a convention (models/torch/networks.py) that nn.Module does not declare.
        self._decoder, self._head, self._prompts, self._mask = decoder, head, prompts, mask
        self._cache = decoder.cache(len(prompts), prompts.shape[1] + room)

    @property
    def keys(self) -> list[list[int]]:
        return _strip_padding(self._prompts, self._mask)

    def begin(self) -> Tensor:
        hidden = self._decoder(self._prompts, self._mask, cache=self._cache)  # [B, T, D]
        last = self._mask.sum(1) - 1
        return self._logits(hidden[torch.arange(len(hidden), device=hidden.device), last])

    def go_on(self, tokens: Tensor) -> Tensor:
        return self._logits(self._decoder(tokens.to(self._prompts.device).unsqueeze(-1), cache=self._cache)[:, 0])

    def take(self, rows: Tensor) -> None:
        self._cache.take(rows.to(self._prompts.device))

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._head(hidden, self._decoder.embedding.tokens.weight)
        return logits


class Translation:
    """An encoder and a decoder: sources are read once, targets begin with `begin_id` ([CLS])."""

    def __init__(self, network: Any, head: nn.Module, source: Tensor, mask: Tensor, room: int, begin_id: int) -> None:
        """Sources [B, S], padded at the end where `mask` [B, S] is False; `room` for so many new tokens."""
        self._network, self._head, self._source, self._mask, self._begin_id = network, head, source, mask, begin_id
        self._cache = network.cache(source, mask, room + 1)

    @property
    def keys(self) -> list[list[int]]:
        return _strip_padding(self._source, self._mask)

    def begin(self) -> Tensor:
        return self.go_on(torch.full((len(self._source),), self._begin_id, device=self._source.device))

    def go_on(self, tokens: Tensor) -> Tensor:
        tokens = tokens.to(self._source.device).unsqueeze(-1)
        hidden = self._network.decoder(tokens, cache=self._cache)[:, 0]  # [B, D]
        logits: Tensor = self._head(hidden, self._network.decoder.embedding.tokens.weight)
        return logits

    def take(self, rows: Tensor) -> None:
        self._cache.take(rows.to(self._source.device))


def _strip_padding(ids: Tensor, mask: Tensor) -> list[list[int]]:
    return [row[: int(length)].tolist() for row, length in zip(ids, mask.sum(1), strict=True)]
