"""Spikes: an update's loss as a multiple of the median of the updates before it.

The first updates have no score: their loss is high because the model is untrained, and there is too little to compare
with. What is not finite is the worst of all.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

METRICS = ("loss", "gradient_norm", "seconds")  # what the record holds of each update
_MOST = 100  # updates that the median is taken of, where there are so many
_FEWEST = 10


@dataclass(frozen=True)
class Spike:
    """One update's value, and the usual value before it; `usual` and `times` are None for the first updates."""

    update: int
    value: float
    before: int  # updates that it was compared with
    usual: float | None
    times: float | None


def spikes(updates: Sequence[int], values: Sequence[float]) -> list[Spike]:
    """Every update's score, in order.

    A median under a hundredth of the whole training's counts as that much: where a loss is all but zero, its noise is
    no spike.
    """
    finite = [value for value in values if math.isfinite(value)]
    least = 0.01 * statistics.median(finite) if finite else 0.0
    window: deque[float] = deque()
    ordered: list[float] = []
    result = []
    for update, value in zip(updates, values, strict=True):
        usual = max(_median(ordered), least) if len(ordered) >= _FEWEST else None
        result.append(Spike(update, value, len(ordered), usual, _times(value, usual)))
        if math.isfinite(value):
            window.append(value)
            insort(ordered, value)
        if len(window) > _MOST:
            del ordered[bisect_left(ordered, window.popleft())]
    return result


def worst(spikes: Sequence[Spike]) -> Spike | None:
    """The spike with the highest score, the first of equals; None if none has a score."""
    scored = [spike for spike in spikes if spike.times is not None]
    return max(scored, key=lambda spike: spike.times or 0.0) if scored else None


def _times(value: float, usual: float | None) -> float | None:
    if not math.isfinite(value):
        return math.inf
    if usual is None:
        return None
    return value / usual if usual > 0 else (math.inf if value > 0 else 1.0)


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
