"""Lines of a file, plain or .gz or .zst, within bounds.

A line, or a decompressed file, can be as large as somebody wishes; what is over the bounds is told and never held in
memory.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from steps.preparation.rows import Bad, bad, place_of

LONGEST_LINE = 4 << 20  # bytes
BOMB_RATIO = 200  # decompressed bytes for each compressed one; text comes to 20
_BOMB_FLOOR = 64 << 20  # decompressed bytes below which nobody is harmed


class BombError(Exception):
    """A compressed file that grows beyond all measure."""


def lines(path: Path) -> Iterator[tuple[int, str | Bad]]:
    """Lines, numbered from 1; a Bad where one is too long or not UTF-8."""
    with _opened(path) as file:
        head = file.peek(4)[:4] if isinstance(file, io.BufferedReader) else b""
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            yield 1, bad("UTF-16, not UTF-8", place_of(path, 1), head)
            return
        number = 0
        while raw := file.readline(LONGEST_LINE):
            number += 1
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass  # read over, never held
                yield number, bad(f"a line over {LONGEST_LINE >> 20} MB", place_of(path, number), raw[:400])
                continue
            try:
                yield number, raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, bad("not UTF-8", place_of(path, number), raw[:400].rstrip(b"\r\n"))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        if path.suffix == ".gz":
            yield io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=raw), path))
        elif path.suffix == ".zst":
            import pyarrow as pa

            # Arrow's reader, because it says when a file ends too early, and refuses windows over 128 MB.
            yield io.BufferedReader(_Bounded(pa.CompressedInputStream(raw, "zstd"), path))
        else:
            yield raw


class _Bounded(io.RawIOBase):
    """A decompressed stream that ends with BombError when it grows beyond all measure."""

    def __init__(self, stream: Any, path: Path) -> None:
        self._stream, self._path = stream, path
        self._left = max(_BOMB_FLOOR, BOMB_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except zlib.error as error:
            raise EOFError(str(error)) from None
        self._left -= len(data)
        if self._left < 0:
            raise BombError
        buffer[: len(data)] = data
        return len(data)
