"""A lock between processes: a file that one of them holds at a time, and that is there only while it is held."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at `path`; `on_wait` is called once if another process has it.

    The kernel lets go of a dead holder's lock. The file is removed by its holder, so one who waited checks that
    the file it locked is still the one that has the name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path, on_wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path, on_wait: Callable[[], None]) -> int:
    waited = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(descriptor, path):
                return descriptor
        except BlockingIOError:
            if not waited:
                on_wait()
            waited = True
            time.sleep(0.2)  # not a blocking flock: a signal must be able to end the wait
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
