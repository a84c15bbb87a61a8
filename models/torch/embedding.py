"""Token ids to vectors: the input of a stack of layers.

The sum of a token's vector, a pair's, a position's and a segment's (Devlin et al. 2019, section 3), each where the config has it.
ALBERT keeps token vectors small and projects them (Lan et al. 2020, arXiv 1909.11942, section 3.1).

Shapes: B batch, T length, D d_model, E width of the token vectors, V vocabulary.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.devices import widen
from models.torch.dropout import dropout
from models.torch.position_wise import norm
from models.torch.positions import sinusoidal

_HASH = (36_313, 27_191)  # odd, so that no bit of an id is lost


_collecting = threading.local()
Rows = list[tuple[nn.Parameter, Tensor, Tensor]]  # a table, ids [N], gradients of their vectors [N, E]


@contextmanager
def collect_rows() -> Iterator[Rows]:
    """Within, what this thread looks up in large tables of tokens gives its gradients here, row by row, when the backward pass comes to
    it, and none to the table. Where an output matrix is the table, its gradient is dense, and autograd would copy all of it to add a
    few hundred rows."""
    rows: Rows = []
    _collecting.rows = rows
    try:
        yield rows
    finally:
        _collecting.rows = None


class _Lookup(torch.autograd.Function):
    """table[ids], for `collect_rows`."""

    @staticmethod
    def forward(ctx: Any, table: nn.Parameter, ids: Tensor, padding: int | None, rows: Rows) -> Tensor:
        ctx.table, ctx.ids, ctx.padding, ctx.rows = table, ids, padding, rows
        return table.detach()[ids]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        ids, vectors = ctx.ids.flatten(), gradient.flatten(0, -2)
        if ctx.padding is not None:
            real = ids != ctx.padding
            ids, vectors = ids[real], vectors[real]
        ctx.rows.append((ctx.table, ids, vectors))
        return None, None, None, None


class TokenTable(nn.Embedding):
    """A vector for each token."""

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., E]."""
        rows: Rows | None = getattr(_collecting, "rows", None)
        has_order = ids.device.type == "cpu"  # in which rows are added
        if rows is None or not (self.sparse and self.weight.requires_grad and has_order):
            return super().forward(ids)
        vectors: Tensor = _Lookup.apply(self.weight, ids, self.padding_idx, rows)
        return vectors


class PairEmbedding(nn.Embedding):
    """A vector for each pair of a token and the one before it, by a hash: pairs share one by chance.

    Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification" (arXiv 1607.01759), section 2.2. The vectors start at 0: a
    pair that was never trained on changes nothing.
    """

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__(config.bigram_buckets, width)
        self.before = config.pad_id  # a text's first token

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:  # type: ignore[override]
        """[B, T], positions [B or 1, T] -> [B, T, E]."""
        before = input_ids.roll(1, 1).masked_fill(positions == 0, self.before)
        return super().forward(((input_ids * _HASH[0]) ^ (before * _HASH[1])) % self.num_embeddings)


class Embedding(nn.Module):
    """The vectors of tokens at their positions, normed and dropped out as the config says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.d_embedding or config.d_model
        self.tokens = TokenTable(config.vocab_size, width, padding_idx=config.pad_id)
        if config.bigram_buckets:
            self.pairs = PairEmbedding(config, width)
        if config.positions == "learned":
            self.positions = nn.Embedding(config.max_length, width)
        if config.token_types:
            self.types = nn.Embedding(config.token_types, width)
        if config.has_embedding_norm:
            self.norm = norm(config, width)
        if config.d_embedding:
            self.projection = nn.Linear(width, config.d_model)

    def forward(self, input_ids: Tensor, positions: Tensor, token_types: Tensor | None = None) -> Tensor:
        """[B, T], positions [B or 1, T] and segments [B, T] (None: all 0) -> [B, T, D]."""
        config = self.config
        x: Tensor = self.tokens(input_ids)
        if config.bigram_buckets:
            x = x + self.pairs(input_ids, positions)
        if config.scale_embeddings:
            x = x * math.sqrt(x.shape[-1])
        if config.positions == "learned":
            x = x + self.positions(positions)
        elif config.positions == "sinusoidal":
            x = x + sinusoidal(positions, x.shape[-1])
        if config.token_types:
            x = x + (self.types.weight[0] if token_types is None else self.types(token_types))
        x = dropout(self.norm(x) if config.has_embedding_norm else x, config.dropout, self.training)
        return widen(self.projection(x)) if config.d_embedding else x


class TokenEmbedding(nn.Module):
    """Token vectors without positions, for networks that read tokens in order or with their neighbours."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.width = config.d_embedding or config.d_model
        self.tokens = TokenTable(config.vocab_size, self.width, padding_idx=config.pad_id)

    def forward(self, input_ids: Tensor) -> Tensor:
        """[B, T] -> [B, T, E]."""
        x: Tensor = self.tokens(input_ids)
        return x


def places(length: int, device: torch.device | None = None) -> Tensor:
    """The positions 0, 1, ... of rows that all begin at the first: [1, T]."""
    return torch.arange(length, device=device).unsqueeze(0)
