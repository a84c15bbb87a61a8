"""What a process listens to, put back after a test."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from telemetry import Observe


@contextmanager
def put_back() -> Iterator[None]:
    """Handlers of signals, and what is done with an exception that nobody can catch, are afterwards as they were.

    The timer too: it is what ends a test that hangs.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    hook, left = sys.unraisablehook, signal.getitimer(signal.ITIMER_REAL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, *left)


@contextmanager
def listening() -> Iterator[Observe]:
    """A silent Observe that hears signals, until the end of the block."""
    with put_back():
        observe = Observe.silent()
        observe.install_signal_handlers()
        yield observe
