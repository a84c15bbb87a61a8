"""A lock between processes: a file that one of them holds at a time, and that is there only while it is held."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at `path`; `on_wait` is called once if another process has it.

    The kernel releases the lock of a dead process. The holder removes the file, so a process that waited checks that
    the file it locked still has the name.
    """
    waited = False
    while (descriptor := _attempt(path)) is None:
        if not waited:
            on_wait()
        waited = True
        time.sleep(0.2)  # not a blocking flock: a signal must be able to end the wait
    with _until_the_end(path, descriptor):
        yield


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock at `path` if no other process has it; yields whether it is held."""
    descriptor = _attempt(path)
    if descriptor is None:
        yield False
        return
    with _until_the_end(path, descriptor):
        yield True


@contextmanager
def _until_the_end(path: Path, descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _attempt(path: Path) -> int | None:
    """A descriptor of the locked file; None if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        kept = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            kept = _is_same_file(descriptor, path)
        except BlockingIOError:
            return None
        finally:
            if not kept:
                os.close(descriptor)
        if kept:
            return descriptor


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
