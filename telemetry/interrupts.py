"""Signals that ask a process to end: SIGTERM and SIGINT, raised at once or held until a checkpoint is saved."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A terminal's Ctrl-C reaches a step twice: from the terminal, and from the driver that ends its children. The second
# must not break into what the first one set going (closing runs, writing out telemetry).
_DEAF_SECONDS = 5.0
_LOOK_SECONDS = 0.05  # after an Interrupted was raised: is it on its way, or was it swallowed?


class Interrupted(BaseException):
    """A signal (SIGTERM or SIGINT) asked the run to end; its state has been saved as far as possible."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"ended by signal {signal_number}")
        self.signal_number = signal_number


class Interrupts:
    """The signals of one process. The handler sets numbers and raises, and does nothing that could wait for a lock."""

    def __init__(self) -> None:
        self.came = 0  # the number of the signal that asked to end, 0 while none did
        self._holding = 0
        self._raised_at: float | None = None
        self._process = 0  # where `install` was called; a forked worker only ends
        self._looks_again = False  # from the raise until it is acknowledged

    def install(self) -> None:
        """From here on SIGTERM and SIGINT raise Interrupted in the main thread, unless they are held.

        Python calls a handler between any two instructions, also where an exception ends nothing: a destructor's or a weak
        reference's callback's is printed and dropped (each import has some), and code in C drops what it does not expect.
        So an alarm looks after it, and raises it again if it is gone, until `acknowledge` is called.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._process = os.getpid()
        signal.signal(signal.SIGALRM, self._on_alarm)
        dropped_otherwise = sys.unraisablehook

        def ignore_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
            if not isinstance(unraisable.exc_value, Interrupted):
                dropped_otherwise(unraisable)

        sys.unraisablehook = ignore_interrupted

    def acknowledge(self) -> None:
        """The interrupted work has ended: do not raise again."""
        if self._looks_again:
            self._looks_again = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold signals: within, they are only noted; leaving the outermost hold raises Interrupted."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
        if not self._holding:
            self.raise_if_any()

    def raise_if_any(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.came:
            self._raised_at = time.monotonic()
            if os.getpid() == self._process:
                self._looks_again = True
                signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS)
            raise Interrupted(self.came)

    def meant_by(self, error: BaseException) -> BaseException:
        """The error that ends a span of the main thread: a pending Interrupted if there is one, else `error`.

        Code in C turns it into errors of its own: sentencepiece a RuntimeError, CPython a SystemError where a second signal's
        handler is called with the first one's exception set.
        """
        on_its_way = self._looks_again and threading.current_thread() is threading.main_thread()
        if on_its_way and not isinstance(error, Interrupted | GeneratorExit):
            return Interrupted(self.came)
        return error

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.came = self.came or number
        if self._holding or (self._raised_at is not None and time.monotonic() - self._raised_at < _DEAF_SECONDS):
            return
        self.raise_if_any()

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if not self._looks_again or self._holding:  # the end of the hold raises it
            return
        if _is_handled():
            signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS)
        else:
            self.raise_if_any()


def _is_handled() -> bool:
    """Whether an `except`, `finally` or `__exit__` that an Interrupted led to is at work."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error is not None
