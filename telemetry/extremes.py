"""The lowest or highest value since metrics were last written: what a mean or a histogram hides."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

# Distribution -> gauges of its lowest and highest value.
EXTREMES = {"training.update_loss": ("training.lowest_update_loss", "training.highest_update_loss")}


class Extreme:
    """Keeps one extreme, by `min` or `max`, until it is taken. Values that are not finite are left to the log."""

    def __init__(self, choose: Callable[[float, float], float]) -> None:
        self._choose = choose
        self._value: float | None = None
        self._lock = threading.Lock()  # metrics are written by a thread of their own

    def add(self, value: float) -> None:
        """One more value."""
        if math.isfinite(value):
            with self._lock:
                self._value = value if self._value is None else self._choose(self._value, value)

    def take(self) -> list[float]:
        """The extreme since it was last taken; empty if there was no value."""
        with self._lock:
            value, self._value = self._value, None
        return [] if value is None else [value]
