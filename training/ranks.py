"""Ranks: processes that share the shards of each update. Whatever their number, the result is the same bytes.

A rank computes an aligned run of shards, whose sum is a node of the tree of `training/shards.py`; the framework's own communication
adds these nodes in the same tree. All ranks run the same program on the same data. Rank 0 alone logs and keeps checkpoints.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from artifacts.errors import TemporaryError

Value = TypeVar("Value")


class RankLostError(TemporaryError):
    """Another rank of the training ended, or cannot be reached any more."""


class Ranks(Protocol):
    """The ranks of a training, seen from one of them."""

    @property
    def rank(self) -> int:
        """The number of this one, from 0."""

    @property
    def count(self) -> int:
        """Their number, a power of two."""

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in order, on each of them. RankLostError if one is gone."""

    def broadcast(self, value: Value) -> Value:
        """Rank 0's value, on each of them. RankLostError if one is gone."""


class Alone:
    """The one rank of a training in one process."""

    rank, count = 0, 1

    def gather(self, value: Value) -> list[Value]:
        return [value]

    def broadcast(self, value: Value) -> Value:
        return value


_current: list[Any] = []


def current() -> Ranks:
    """The ranks that this process has joined."""
    ranks: Ranks = _current[-1] if _current else Alone()
    return ranks


def join(ranks: Ranks) -> None:
    """Make these the ranks of the trainings to come; of `Alone()` it is one process again."""
    _current[:] = [] if isinstance(ranks, Alone) else [ranks]


def run_of(ranks: Ranks, shards: int) -> range:
    """The places of the shards that this rank computes."""
    length = shards // ranks.count
    return range(ranks.rank * length, (ranks.rank + 1) * length)
