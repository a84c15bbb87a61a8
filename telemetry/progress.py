"""Progress of long operations: a bar on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, TextIO

from command_line.durations import duration

SIDE_BY_SIDE = "GLASSFORMER_SIDE_BY_SIDE"  # 1: other processes write to the same terminal
_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_LOOKS = 0.1  # at a bar
_CLOSED = (OSError, ValueError)  # what writing to a closed standard error raises: no reason to end a training


def is_side_by_side() -> bool:
    """Whether others write to the same terminal at the same time: bars would run into one another."""
    return os.environ.get(SIDE_BY_SIDE) == "1"


class Pace:
    """The pace of the last half minute; not since the start, which loads, compiles and fills caches."""

    _WINDOW, _LEAST, _MARKS = 30.0, 5.0, 4  # seconds, seconds, fewest marks for an estimate
    _STEADY = 2.0  # so many times may one half of the window be faster than the other

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> None:
        """Record the amount done by now."""
        marks = self._marks
        if len(marks) > 1 and now - marks[-2][0] < self._WINDOW / 100:
            marks[-1] = (now, done)  # a hundred marks are enough
        else:
            marks.append((now, done))
        while len(marks) > self._MARKS and now - marks[1][0] > self._WINDOW:
            marks.popleft()

    def seconds_left(self, total: int) -> float | None:
        """Seconds until `total` is done; None while it cannot be estimated: too few marks, or a changing pace."""
        marks = list(self._marks)
        if len(marks) < self._MARKS or marks[-1][0] - marks[0][0] < self._LEAST:
            return None
        middle = marks[len(marks) // 2]
        first, second = _rate(marks[0], middle), _rate(middle, marks[-1])
        if not first or not second or not 1 / self._STEADY <= first / second <= self._STEADY:
            return None
        return (total - marks[-1][1]) / _rate(marks[0], marks[-1])


class Progress:
    """Counts up to `total`; `update(n, loss=5.2)` also shows numbers next to it."""

    def __init__(
        self, description: str, total: int | None, unit: str, *, terminal: bool, stream: TextIO | None = None,
        as_json: bool = False,
    ) -> None:  # fmt: skip
        self.description, self.total, self.unit = description, total, unit
        self.done = self._earlier = self._said = self._drawn = 0
        self._stream = stream or sys.stderr
        self._started = self._last_line = self._last_look = time.monotonic()
        self._pace = Pace()
        self._shown: dict[str, Any] = {}
        self._terminal, self._as_json = terminal and not as_json, as_json
        self._bar: Any = None

    def already(self, n: int) -> None:
        """`n` were done by an earlier run: they count for the place and not for the rate."""
        self.done = self._earlier = self._drawn = n

    def update(self, n: int = 1, **shown: float | str) -> None:
        """`n` more are done."""
        self.done += n
        self._shown.update(shown)
        now = time.monotonic()
        self._pace.add(now, self.done)
        try:
            self._show(now)
        except _CLOSED:
            return

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._bar is not None:
                self._bar.close()
            elif 0 < self._said < self.done and kind is None:
                self._line()
        except _CLOSED:
            return

    def _show(self, now: float) -> None:
        if self._terminal:
            if self._bar is None:
                self._bar = self._make_bar()
            elif now - self._last_look < _SECONDS_BETWEEN_LOOKS and self.done != self.total:
                return
            self._last_look = now
            self._bar.set_postfix_str(", ".join(self._parts()), refresh=False)
            self._bar.update(self.done - self._drawn)
            self._drawn = self.done
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._line()

    def _make_bar(self) -> Any:
        from tqdm import tqdm

        # Its own time left is that of the pace since the start: "13059 min" after a first update that compiled something.
        form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        return tqdm(
            total=self.total,
            initial=self._earlier,
            desc=self.description,
            dynamic_ncols=True,
            leave=False,
            file=self._stream,
            bar_format=form if self.total else f"{{desc}}: {{n_fmt}} {self.unit} [{{elapsed}}{{postfix}}]",
        )

    def _parts(self) -> list[str]:
        seconds = time.monotonic() - self._started
        rate = (self.done - self._earlier) / seconds if seconds > 0 else 0.0
        parts = [
            f"{rate:.1f} {self.unit}/s" if rate < 100 else f"{rate:,.0f} {self.unit}/s",
            *(f"{name} {_text(value)}" for name, value in self._shown.items()),
        ]
        left = self._pace.seconds_left(self.total) if self.total and self.done < self.total else None
        return parts if left is None else [*parts, f"{duration(left, decimals=0)} left"]

    def _line(self) -> None:
        self._said = self.done
        total = f"/{self.total}" if self.total and self.done <= self.total else ""
        self._print(f"{self.description}: {', '.join([f'{self.done}{total} {self.unit}', *self._parts()])}")

    def _print(self, line: str) -> None:
        shown = json.dumps({"event": "progress", "message": line}, ensure_ascii=False) if self._as_json else line
        print(shown, file=self._stream, flush=True)


class Waiting(Progress):
    """An operation of unknown length: shows the elapsed seconds, from its own thread."""

    def __init__(
        self, description: str, *, terminal: bool, stream: TextIO | None = None, as_json: bool = False
    ) -> None:
        super().__init__(description, None, "s", terminal=terminal, stream=stream, as_json=as_json)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> Waiting:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(1.0)
        super().__exit__(kind, error, trace)

    def _tick(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LINES):
            try:
                self._show_elapsed(round(time.monotonic() - self._started))
            except _CLOSED:
                return

    def _show_elapsed(self, seconds: int) -> None:
        if not self._terminal:
            self._print(f"{self.description}: {duration(seconds, decimals=0)} so far")
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=self.description,
                dynamic_ncols=True,
                leave=False,
                file=self._stream,
                bar_format="{desc}: {elapsed} so far",
            )
        self._bar.refresh()


class Silent(Progress):
    """Counts and shows nothing."""

    def __init__(self) -> None:
        super().__init__("", None, "", terminal=False)

    def _show(self, now: float) -> None:
        return None


def _rate(first: tuple[float, int], last: tuple[float, int]) -> float:
    return (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else 0.0


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
