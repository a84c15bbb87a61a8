"""How a process hears that it should end: SIGTERM and SIGINT, raised at once or held until a checkpoint is saved."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A terminal's Ctrl-C reaches a step twice: from the terminal, and from the driver that ends its children. The second
# must not break into what the first one set going (closing runs, writing out telemetry).
_DEAF_SECONDS = 5.0
_AGAIN_SECONDS = 0.02  # until what a callback swallowed is raised again


class Interrupted(BaseException):
    """The run was asked to end by a signal (SIGTERM or SIGINT); what could be saved has been saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"ended by signal {signal_number}")
        self.signal_number = signal_number


class Interrupts:
    """The signals of one process. The handler sets numbers and raises, and does nothing that could wait for a lock."""

    def __init__(self) -> None:
        self.came = 0  # the number of the signal that asked to end, 0 while none did
        self._holding = 0
        self._raised_at: float | None = None

    def install(self) -> None:
        """From here on SIGTERM and SIGINT raise Interrupted in the main thread, unless they are held.

        Python calls a handler between any two instructions, also within a destructor or a weak reference's callback (each
        import has some), where an exception ends nothing: it is printed and dropped. One of ours is raised again then.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)
        dropped_otherwise = sys.unraisablehook

        def dropped(unraisable: sys.UnraisableHookArgs) -> None:
            if isinstance(unraisable.exc_value, Interrupted):
                signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)  # raised here, it would be dropped as well
            else:
                dropped_otherwise(unraisable)

        sys.unraisablehook = dropped

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, a signal is only noted; leaving the outermost one raises it."""
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
            raise Interrupted(self.came)

    @staticmethod
    def meant_by(error: BaseException) -> BaseException:
        """The Interrupted that an error stands for, or the error. A second signal may come while the first one's exception is on
        its way: Python then calls the handler with that exception set, and fails with a SystemError whatever the handler does.
        """
        cause = error.__cause__
        return cause if isinstance(error, SystemError) and isinstance(cause, Interrupted) else error

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.came = self.came or number
        if self._holding or (self._raised_at is not None and time.monotonic() - self._raised_at < _DEAF_SECONDS):
            return
        self.raise_if_any()

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if not self._holding:
            self.raise_if_any()
