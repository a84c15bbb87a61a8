"""Shards: the parts of an update's batch, each computed by one thread, and added in one fixed order.

Sums of floats depend on their order. Here the batch is always cut into the same shards and their gradients are always added in the same
binary tree, so that one core or many, one process or many give the same bytes; which of them computes a shard plays no part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def cut(rows: NDArray[np.int64], shards: int) -> list[NDArray[np.int64]]:
    """A batch's rows as shards. Rows are sorted by length, and so each shard has its part of the long ones; a batch of fewer rows has
    fewer shards."""
    return [rows[number::shards] for number in range(min(shards, len(rows)))]


def add_in_tree(leaves: Sequence[Item], add: Callable[[Item, Item], Item]) -> Item:
    """The sum of at least one leaf: neighbours first, then neighbours of these sums. A run of leaves that begins at a multiple of its
    length, a power of two, is added as it is within a longer one."""
    return reduce(add, branches(leaves, add))


def branches(leaves: Sequence[Item], add: Callable[[Item, Item], Item]) -> list[Item]:
    """The two sums whose sum `add_in_tree` returns; one leaf as it is."""
    level = list(leaves)
    while len(level) > 2:
        pairs = [add(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level


@dataclass(frozen=True)
class ShardSum:
    """Sums over one shard or several."""

    loss: Any  # nats, a number in double precision, on the device until it is read
    answers: int
    gradients: Sequence[Any]  # of the summed loss, one for each parameter; None where it does not depend on that one


def cores() -> int:
    """Cores that this process may use; of several ranks on one machine, its part of them."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE") or 1))


def map_in_threads(function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """The results in the order of the items, computed on all cores. The first error is raised after all have ended."""
    items = list(items)
    if len(items) < 2 or cores() < 2:
        return map_in_turn(function, items)
    futures = [_pool(cores()).submit(copy_context().run, function, item) for item in items]
    errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error
    return [future.result() for future in futures]


def map_in_turn(function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """The same, one after another."""
    return [function(item) for item in items]


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="shard")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of its parent's threads
