"""Reading the outbox: the complete frames of its segments. `telemetry/outbox.py` documents the format."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Signal = Literal["logs", "traces", "metrics"]
SIGNALS: tuple[Signal, ...] = ("logs", "traces", "metrics")
MAGIC = b"GFOB\x01"
FRAME = struct.Struct("<IIQ")


@dataclass(frozen=True)
class Frame:
    """One OTLP request as it was written; `time_ns` is when, `end` where its frame ends in the segment."""

    time_ns: int
    payload: bytes
    end: int


class SegmentError(Exception):
    """A file that is no segment of a version we read; the message names it."""


def segments(folder: Path, signal: Signal) -> list[Path]:
    """Segments of a signal, oldest first."""
    return sorted((folder / signal).glob("*.seg"))


def read_segment(path: Path, start: int = 0) -> Iterator[Frame]:
    """The whole frames of a segment in order, from the byte `start` (some frame's `end`) on.

    A torn or damaged frame ends it, as nothing behind it can be trusted; `torn_bytes` counts those bytes. In a
    segment that is still being written the last frame may be whole the next time. Raises SegmentError if the file is
    of another kind or version.
    """
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic):
                return  # killed while the first bytes were written
            raise SegmentError(f"{path}: not an outbox segment of version {MAGIC[-1]}")
        place = max(start, len(MAGIC))
        file.seek(place)
        size = path.stat().st_size
        while len(head := file.read(FRAME.size)) == FRAME.size:
            length, expected, time_ns = FRAME.unpack(head)
            if place + FRAME.size + length > size:
                return  # also where a damaged length would have us read gigabytes
            payload = file.read(length)
            if len(payload) < length or checksum(time_ns, payload) != expected:
                return
            place += FRAME.size + length
            yield Frame(time_ns, payload, place)


def torn_bytes(path: Path) -> int:
    """Bytes behind the last whole frame: 0 in a segment that was closed, or killed between two writes."""
    end = min(len(MAGIC), path.stat().st_size)
    for frame in read_segment(path):
        end = frame.end
    return path.stat().st_size - end


def checksum(time_ns: int, payload: bytes) -> int:
    """CRC-32 of a frame: its time, then its payload."""
    return zlib.crc32(payload, zlib.crc32(time_ns.to_bytes(8, "little")))
