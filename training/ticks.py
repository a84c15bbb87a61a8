"""How many rows were answered so far, for whoever shows it. Shown alone: nothing here changes a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_count: ContextVar[Callable[[int], None] | None] = ContextVar("count", default=None)


@contextmanager
def counted(count: Callable[[int], None]) -> Iterator[None]:
    """Within, `count(n)` is called whenever `n` more rows have been answered."""
    token = _count.set(count)
    try:
        yield
    finally:
        _count.reset(token)


def tick(rows: int) -> None:
    """So many more rows are answered."""
    if count := _count.get():
        count(rows)
