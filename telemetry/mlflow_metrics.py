"""Metrics for MLflow: written to a file by the step and delivered by a courier on its own thread.

The step only appends lines, so a slow or dead tracking server never touches the training. The courier remembers in
`<feed>.sent` how many bytes have been delivered; a later courier continues exactly there.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from telemetry import clock
from telemetry.line_file import LineFile

_BATCH = 500  # readings in one call; MLflow takes 1,000 at most
_INTERVAL = 2.0  # seconds between deliveries
_NOT_IN_A_KEY = re.compile(r"[^\w\-./ ]")  # MLflow refuses the whole batch for one such name
_LONGEST_PAUSE = 30.0  # seconds between tries while the server is away


@dataclass(frozen=True)
class Reading:
    """One number: its name, value, time (milliseconds since 1970) and the update it belongs to."""

    key: str
    value: float
    time_ms: int
    update: int


def key_of(name: str) -> str:
    """A metric's name as MLflow takes it."""
    return _NOT_IN_A_KEY.sub("_", name)[:250]


class Feed:
    """Appends readings to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = LineFile(path)

    def add(self, key: str, value: float, update: int) -> None:
        """Append one reading; a non-finite number is kept as text (`nan`), which a courier skips."""
        shown = value if math.isfinite(value) else str(value)
        line = {"k": key_of(key), "v": shown, "t": clock.now_ns() // 1_000_000, "s": update}
        self._file.add(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Wait until the file is on the disk."""
        self._file.sync()
        self._file.close()


class Courier:
    """Brings a feed's readings to `send`, in order and in batches. An error of `send` means: try again later."""

    def __init__(self, feed: Path, send: Callable[[list[Reading]], None], on_trouble: Callable[[str], None]) -> None:
        self._feed, self._send, self._on_trouble = feed, send, on_trouble
        self._closing = threading.Event()
        self._deadline = math.inf
        self._thread = threading.Thread(target=self._work, name="metrics-courier", daemon=True)
        self._thread.start()

    def close(self, timeout: float) -> int:
        """Deliver the rest for at most `timeout` seconds. Returns the number of readings left on disk."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._thread.join(timeout + 0.5)
        return count_waiting(self._feed)

    def _work(self) -> None:
        pause, troubled = _INTERVAL, False
        while True:
            last = self._closing.wait(pause) or self._closing.is_set()
            try:
                while batch := _next_batch(self._feed):
                    readings, end = batch
                    if readings:
                        self._send(readings)
                    _mark_sent(self._feed, end)
                    if time.monotonic() >= self._deadline:
                        return
                pause, troubled = _INTERVAL, False
                if last:
                    return
            except Exception as error:  # the network's and the server's errors are of every kind
                if not troubled:
                    why = " ".join(str(error).split())[:200]
                    self._on_trouble(f"metrics cannot be delivered yet, they wait on disk: {why}")
                troubled = True
                if last and time.monotonic() >= self._deadline:
                    return
                if last:
                    time.sleep(min(0.5, max(0.0, self._deadline - time.monotonic())))
                pause = min(2 * pause, _LONGEST_PAUSE)


def waiting(feed: Path) -> bool:
    """Whether a feed holds readings that were not delivered."""
    return count_waiting(feed) > 0


def count_waiting(feed: Path) -> int:
    """The number of undelivered readings of a feed."""
    try:
        with feed.open("rb") as file:
            file.seek(_sent_bytes(feed))
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0


def _next_batch(feed: Path) -> tuple[list[Reading], int] | None:
    """The next undelivered readings and their end in the file; None if there is no complete line."""
    try:
        with feed.open("rb") as file:
            place = _sent_bytes(feed)
            file.seek(place)
            lines: list[bytes] = []
            while len(lines) < _BATCH and (line := file.readline()).endswith(b"\n"):
                lines.append(line)
                place += len(line)
    except FileNotFoundError:
        return None
    return ([reading for line in lines if (reading := _parse(line))], place) if lines else None


def _parse(line: bytes) -> Reading | None:
    try:
        entry = json.loads(line)
        reading = Reading(str(entry["k"]), float(entry["v"]), int(entry["t"]), int(entry["s"]))
    except (ValueError, KeyError, TypeError):
        return None  # torn by a kill
    return reading if math.isfinite(reading.value) else None


def _sent_bytes(feed: Path) -> int:
    try:
        return int(feed.with_name(feed.name + ".sent").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _mark_sent(feed: Path, place: int) -> None:
    temporary = feed.with_name(feed.name + ".sent.tmp")
    temporary.write_text(str(place))
    temporary.replace(feed.with_name(feed.name + ".sent"))
