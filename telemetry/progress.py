"""Progress of anything long: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO

_SECONDS_BETWEEN_LINES = 5.0
_CLOSED = (OSError, ValueError)  # what writing to a closed standard error raises: no reason to end a training


class Progress:
    """Counts up to `total`; `update(n, loss=5.2)` also shows numbers beside it."""

    def __init__(
        self, description: str, total: int | None, unit: str, *, terminal: bool, stream: TextIO | None = None
    ) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = self._earlier = self._said = 0
        self._stream = stream or sys.stderr
        self._started = self._last_line = time.monotonic()
        self._shown: dict[str, Any] = {}
        self._terminal = terminal
        self._bar: Any = None

    def already(self, n: int) -> None:
        """`n` were done by an earlier run: they count for the place and not for the rate."""
        self.done = self._earlier = n

    def update(self, n: int = 1, **shown: float | str) -> None:
        """`n` more are done."""
        self.done += n
        self._shown.update(shown)
        try:
            self._show(n, bool(shown))
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

    def _show(self, n: int, anew: bool) -> None:
        if self._terminal:
            if self._bar is None:
                self._bar = self._make_bar()
            if anew:
                self._bar.set_postfix({name: _text(value) for name, value in self._shown.items()}, refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._line()

    def _make_bar(self) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=self.total, initial=self._earlier, desc=self.description, unit=f" {self.unit}",
            dynamic_ncols=True, leave=False, file=self._stream,
        )  # fmt: skip

    def _line(self) -> None:
        self._said = self.done
        seconds = time.monotonic() - self._started
        rate = (self.done - self._earlier) / seconds if seconds > 0 else 0.0
        parts = [
            f"{self.done}{f'/{self.total}' if self.total else ''} {self.unit}",
            f"{rate:.1f} {self.unit}/s" if rate < 100 else f"{rate:,.0f} {self.unit}/s",
            *(f"{name} {_text(value)}" for name, value in self._shown.items()),
        ]
        if self.total and rate and self.done < self.total:
            parts.append(f"{_duration((self.total - self.done) / rate)} left")
        print(f"{self.description}: {', '.join(parts)}", file=self._stream, flush=True)


class Silent(Progress):
    """Counts and shows nothing."""

    def __init__(self) -> None:
        super().__init__("", None, "", terminal=False)

    def _show(self, n: int, anew: bool) -> None:
        return None


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
