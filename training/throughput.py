"""The speed of a training, for display."""

from __future__ import annotations

import time


class Throughput:
    """Tokens and updates a second over the last 50 updates. For display only: it never affects training."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._marks: list[tuple[float, int]] = [(self._began, 0)]

    def add(self, tokens: int) -> None:
        self._marks.append((time.monotonic(), self._marks[-1][1] + tokens))
        del self._marks[:-50]

    @property
    def seconds(self) -> float:
        """Seconds from the beginning to the last update."""
        return self._marks[-1][0] - self._began

    @property
    def tokens_per_second(self) -> float:
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / max(1e-9, end - start)

    @property
    def updates_per_second(self) -> float:
        return (len(self._marks) - 1) / max(1e-9, self._marks[-1][0] - self._marks[0][0])
