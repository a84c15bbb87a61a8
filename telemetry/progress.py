"""Progress of anything long: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts up to `total`; `update(n, loss=5.2)` also shows numbers beside it."""

    def __init__(self, description: str, total: int | None, unit: str, *, terminal: bool, stream: TextIO | None = None) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = 0
        self._stream = stream or sys.stderr
        self._started = self._last_line = time.monotonic()
        self._shown: dict[str, Any] = {}
        self._bar: Any = None
        if terminal:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=description, unit=f" {unit}", dynamic_ncols=True, leave=False, file=self._stream)

    def update(self, n: int = 1, **shown: float | str) -> None:
        """`n` more are done."""
        self.done += n
        self._shown.update(shown)
        if self._bar is not None:
            if shown:
                self._bar.set_postfix({name: _text(value) for name, value in self._shown.items()}, refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._line()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._last_line != self._started and kind is None:
            self._line()

    def _line(self) -> None:
        seconds = time.monotonic() - self._started
        rate = self.done / seconds if seconds > 0 else 0.0
        of = f"/{self.total}" if self.total else ""
        parts = [f"{self.done}{of} {self.unit}", f"{rate:.1f} {self.unit}/s" if rate < 100 else f"{rate:,.0f} {self.unit}/s"]
        parts += [f"{name} {_text(value)}" for name, value in self._shown.items()]
        if self.total and rate and self.done < self.total:
            parts.append(f"{_duration((self.total - self.done) / rate)} left")
        print(f"{self.description}: {', '.join(parts)}", file=self._stream, flush=True)


class Silent(Progress):
    """Counts and shows nothing."""

    def __init__(self) -> None:
        super().__init__("", None, "", terminal=False)

    def _line(self) -> None:
        return None


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
