"""An append-only file of lines: each line is written completely or not at all, even if the disk is full or a process is killed.

Several processes may append to one file: a line is one write, which the kernel does not mix with others'.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

_PIECE = 1 << 16
_TRIES, _PAUSE = 20, 0.001  # seconds, until a line without an end is taken for one that cannot be cut off


class LineFile:
    """Appends lines. An incomplete line at the end is cut off before the next one."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = path, threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def add(self, line: bytes) -> None:
        """Append a line, its newline included, in one write. OSError if it was not written completely: then nothing of it remains."""
        with self._lock:
            start = b"" if self._begins_line() else b"\n"
            fcntl.flock(self._file, fcntl.LOCK_SH)
            try:
                written = os.write(self._file, start + line)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            if written != len(start + line):
                self._cut_back()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def truncate(self, end: int) -> None:
        """Keep the first `end` bytes."""
        os.ftruncate(self._file, end)

    def sync(self) -> None:
        """Wait until it is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _begins_line(self) -> bool:
        """Whether a new line can begin at the end of the file. A broken last line is cut off first, if possible.

        A line that another process is just writing has no end yet, but has one in a moment.
        """
        for _ in range(_TRIES):
            if self._is_whole() or self._cut_back():
                return True
            time.sleep(_PAUSE)
        return False

    def _is_whole(self) -> bool:
        size = os.fstat(self._file).st_size
        return not size or os.pread(self._file, 1, size - 1) == b"\n"

    def _cut_back(self) -> bool:
        """Cut off a broken last line. Returns False if that is impossible: it is then to be ended by a newline.

        A long line of another process has no end yet while it is being written: its writer holds a shared lock.
        """
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            if not self._is_whole():
                os.ftruncate(self._file, self._end_of_lines())
        except OSError:  # a file that may only be appended to
            return False
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return True

    def _end_of_lines(self) -> int:
        place = os.fstat(self._file).st_size
        while place:
            begin = max(0, place - _PIECE)
            newline = os.pread(self._file, place - begin, begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            place = begin
        return 0
