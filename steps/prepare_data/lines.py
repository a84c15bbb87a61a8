"""Lines of a file, plain or .gz or .zst, within bounds.

A line, or a decompressed file, can be as large as somebody wishes; what is over the bounds is never held in memory. A single
bad line is a BadLine; a file that cannot be read to its end is a UserError, since no count says how many rows it held.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from artifacts.errors import UserError
from steps.prepare_data.rows import Bad, bad, place_of

LONGEST_LINE = 4 << 20  # bytes
BOMB_RATIO = 200  # decompressed bytes for each compressed one; text comes to 20
_BOMB_FLOOR = 64 << 20  # decompressed bytes below which memory and disk are safe
_BUFFER = 1 << 16
_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # how UTF-16 and UTF-32 begin
_UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be used, and one that opens and closes the same quotes in its place."""

    bad: Bad
    stand_in: str


def lines(path: Path, *, ends: bool = False) -> Iterator[tuple[int, str | BadLine]]:
    """Lines, numbered from 1, with their line ends or without; a BadLine where one is too long or not UTF-8.

    Lines end with LF or CRLF; those of a file without any LF with CR, as on old machines. UserError for UTF-16, and for a
    compressed file that is damaged, cut off or grows without measure.
    """
    with _open_decompressed(path) as file:
        head = file.peek(_BUFFER)[:_BUFFER]
        _refuse_other_encodings(path, head)
        if b"\n" not in head and b"\r" in head:
            file = io.BufferedReader(_Translated(file), _BUFFER)
        if head.startswith(_UTF8_MARK):
            file.read(len(_UTF8_MARK))
        number = 0
        while raw := file.readline(LONGEST_LINE):
            number += 1
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                yield number, _too_long(path, number, raw, file)
                continue
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError:
                found = bad("not UTF-8", place_of(path, number), raw[:400].rstrip(b"\r\n"))
                yield number, BadLine(found, raw.decode("utf-8", "replace"))
                continue
            yield number, line if ends else line.removesuffix("\n").removesuffix("\r")


def _too_long(path: Path, number: int, start: bytes, file: IO[bytes]) -> BadLine:
    """Read over the rest of a line; it is never held."""
    quotes = start.count(b'"')
    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        quotes += rest.count(b'"')
    quotes += rest.count(b'"')
    found = bad(f"a line over {LONGEST_LINE >> 20} MB", place_of(path, number), start[:400])
    return BadLine(found, '"\n' if quotes % 2 else "\n")


def _refuse_other_encodings(path: Path, head: bytes) -> None:
    # Of UTF-16 without a mark every second byte is 0, in most scripts at first
    zeros = [byte == 0 for byte in head[:4]]
    if head.startswith(_MARKS) or zeros in ([True, False] * 2, [False, True] * 2):
        raise UserError(
            f"{path}: UTF-16 or UTF-32, not UTF-8; convert it, for instance with iconv -f UTF-16 -t UTF-8", 1
        )


@contextmanager
def _open_decompressed(path: Path) -> Iterator[Any]:
    with io.BufferedReader(io.FileIO(path), _BUFFER) as raw:
        if path.suffix in (".gz", ".zst") and path.stat().st_size == 0:
            raise UserError(f"{path}: empty, so no {path.suffix} file; fetch or compress it again")
        if path.suffix == ".gz":
            yield io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=raw), path), _BUFFER)
        elif path.suffix == ".zst":
            import pyarrow as pa

            # Arrow's reader, because it says when a file ends too early, and refuses windows over 128 MB.
            yield io.BufferedReader(_Bounded(pa.CompressedInputStream(raw, "zstd"), path), _BUFFER)
        else:
            yield raw


class _Raw(io.RawIOBase):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True


class _Bounded(_Raw):
    """A decompressed stream; UserError if it is damaged, ends too early or grows without measure."""

    def __init__(self, stream: Any, path: Path) -> None:
        super().__init__(stream)
        self._path = path
        self._left = max(_BOMB_FLOOR, BOMB_RATIO * path.stat().st_size)

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (zlib.error, EOFError, ValueError, OSError) as error:  # ArrowInvalid is a ValueError
            if isinstance(error, OSError) and error.errno:
                raise
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{self._path}: damaged or cut-off compression ({reason}); fetch or compress it again"
            ) from None
        self._left -= len(data)
        if self._left < 0:
            raise UserError(
                f"{self._path}: decompresses to too much, over {BOMB_RATIO} bytes for each compressed one; decompress it "
                "yourself if that is right"
            )
        buffer[: len(data)] = data
        return len(data)


class _Translated(_Raw):
    """A stream with LF in the place of CR."""

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)
