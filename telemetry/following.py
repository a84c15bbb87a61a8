"""The records that waited at a moment, and how many of them another process has delivered since."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from telemetry import records
from telemetry.delivery_state import read_mark
from telemetry.segments import SegmentError, Signal, read_segment, segments


class Waiting:
    """The records of these signals that wait now. Those that are written later are not counted."""

    def __init__(self, outbox: Path, signals: Collection[Signal]) -> None:
        self._frames: dict[Path, list[tuple[int, int]]] = {}  # segment -> end of each frame, records in it
        for signal in signals:
            for segment in segments(outbox, signal):
                self._frames[segment] = _frames(segment, signal)
        self.total = self.rest

    @property
    def rest(self) -> int:
        """The number that still waits. A segment that is gone is delivered, or was put away as damaged."""
        total = 0
        for segment, frames in self._frames.items():
            if segment.exists():
                end = read_mark(segment).end
                total += sum(count for at, count in frames if at > end)
        return total


def follow(
    waiting: Waiting, patience: float, taken_over: Callable[[], bool], progressed: Callable[[int], object]
) -> bool:
    """Watch another process deliver, until nothing of this waits: True. False after `patience` seconds without progress, or
    if `taken_over` says that nobody delivers any more."""
    left, until = waiting.rest, time.monotonic() + patience
    while left:
        if time.monotonic() > until or taken_over():
            return False
        time.sleep(0.2)
        if (now := waiting.rest) != left:
            progressed(left - now)
            left, until = now, time.monotonic() + patience
    return True


def _frames(segment: Path, signal: Signal) -> list[tuple[int, int]]:
    try:
        return [(one.end, records.count(signal, one.payload)) for one in read_segment(segment, read_mark(segment).end)]
    except (FileNotFoundError, SegmentError):
        return []  # delivered just now; or damaged, which the shipper puts away
