"""Sums of gradients, which are dense, rows of a large table (sparse), or absent."""

from __future__ import annotations

import torch
from torch import Tensor

from training.shards import ShardSum


def add_parts(one: ShardSum, other: ShardSum) -> ShardSum:
    """The sum of two parts of a shard, which one thread computes."""
    gradients = [*map(add_gradients, one.gradients, other.gradients)]
    return ShardSum(one.loss + other.loss, one.answers + other.answers, gradients)


def add_gradients(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The sum of two gradients of a parameter."""
    if one is None or other is None:
        return other if one is None else one
    return _add(one, other)


def _add(one: Tensor, other: Tensor) -> Tensor:
    if not one.is_sparse:
        return one + other  # not in place: gradients of two parameters may be one tensor
    indices = torch.cat([one._indices(), other._indices()], 1)
    return torch.sparse_coo_tensor(
        indices, torch.cat([one._values(), other._values()]), one.shape, check_invariants=False
    )


def add_rows(gradient: Tensor | None, ids: Tensor, vectors: Tensor, table: Tensor) -> Tensor:
    """The gradient of a table, with those of some of its rows added: [N], [N, E]."""
    if gradient is not None and not gradient.is_sparse:
        return gradient.index_add_(0, ids, vectors.to(gradient.dtype))
    rows = torch.sparse_coo_tensor(ids.unsqueeze(0), vectors, table.shape, check_invariants=False)
    return rows if gradient is None else _add(gradient, rows)
