"""The outbox: every record goes to local disk first, in append-only segments that a shipper can deliver later.

    <outbox>/<signal>/<nanoseconds>-<pid>-<number>.seg        signal: logs, traces, metrics

A segment begins with `GFOB` and a version (one byte). Then frames follow: length of the payload and its CRC-32 (two
unsigned 32-bit numbers), time written (unsigned 64-bit, nanoseconds since 1970), all little-endian, and the payload: one
OTLP request (`ExportLogsServiceRequest`, `ExportTraceServiceRequest`, `ExportMetricsServiceRequest`) as protobuf.

Each process writes segments of its own, so no lock is needed. A frame is one `write`: after SIGKILL of the process all
but the frame being written is there, after a power cut all but the last second. A torn tail is recognised and left out.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Signal = Literal["logs", "traces", "metrics"]
SIGNALS: tuple[Signal, ...] = ("logs", "traces", "metrics")
_MAGIC = b"GFOB\x01"
_FRAME = struct.Struct("<IIQ")
_SEGMENT_BYTES = 4 << 20
_BOUND_BYTES = 512 << 20
_SYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Frame:
    """One OTLP request as it was written; `time_ns` is when, `offset` where its frame ends in the segment."""

    time_ns: int
    payload: bytes
    offset: int


class SegmentError(Exception):
    """A file that is no segment of a version we read; the message names it."""


def read_segment(path: Path) -> Iterator[Frame]:
    """The whole frames of a segment, in order. A torn or damaged frame ends it: nothing behind it can be trusted."""
    data = path.read_bytes()
    if data[: len(_MAGIC)] != _MAGIC:
        if len(data) < len(_MAGIC) and _MAGIC.startswith(data):
            return  # killed while the first bytes were written
        raise SegmentError(f"{path}: not an outbox segment of version {_MAGIC[-1]}")
    place = len(_MAGIC)
    while place + _FRAME.size <= len(data):
        length, checksum, time_ns = _FRAME.unpack_from(data, place)
        payload = data[place + _FRAME.size : place + _FRAME.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        place += _FRAME.size + length
        yield Frame(time_ns, payload, place)


def segments(folder: Path, signal: Signal) -> list[Path]:
    """Segments of a signal, oldest first."""
    return sorted((folder / signal).glob("*.seg"))


class Outbox:
    """One process's way into the outbox. Nothing here raises: what cannot be written is counted in `dropped`."""

    def __init__(self, folder: Path, *, bound: int = _BOUND_BYTES, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self.folder = folder
        self.dropped = 0  # records that could not be written, or went with an old segment when the bound was reached
        self._bound, self._segment_bytes = bound, segment_bytes
        self._files: dict[Signal, int] = {}
        self._sizes: dict[Signal, int] = {}
        self._dirty = set[int]()
        self._number = 0
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._told = False
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_often, name="outbox-sync", daemon=True)
        self._syncer.start()

    def append(self, signal: Signal, payload: bytes) -> None:
        """Add one OTLP request."""
        if os.getpid() != self._pid:
            self._begin_anew_in_child()
        frame = _FRAME.pack(len(payload), zlib.crc32(payload), time.time_ns()) + payload
        with self._lock:
            try:
                file = self._file_for(signal, len(frame))
                if os.write(file, frame) != len(frame):
                    os.close(self._files.pop(signal))  # torn: what follows must not stand behind it
                    raise OSError("short write")
                self._sizes[signal] += len(frame)
                self._dirty.add(file)
            except OSError as error:
                self._count_dropped(1, f"{self.folder}: telemetry cannot be written ({error}); the run goes on without it")

    def sync(self) -> None:
        """Wait until what was appended is on the disk."""
        with self._lock:
            dirty, self._dirty = self._dirty, set()
            for file in dirty:
                try:
                    os.fsync(file)
                except OSError as error:
                    self._count_dropped(0, f"{self.folder}: telemetry cannot be synced ({error})")

    def close(self) -> None:
        """Sync and let go of the files."""
        self._closing.set()
        if self._syncer.is_alive() and threading.current_thread() is not self._syncer:
            self._syncer.join(2 * _SYNC_SECONDS)
        self.sync()
        with self._lock:
            for file in self._files.values():
                os.close(file)
            self._files.clear()

    def _file_for(self, signal: Signal, more: int) -> int:
        if signal in self._files and self._sizes[signal] + more > self._segment_bytes:
            file = self._files.pop(signal)
            os.fsync(file)
            self._dirty.discard(file)
            os.close(file)
        if signal not in self._files:
            folder = self.folder / signal
            folder.mkdir(parents=True, exist_ok=True)
            self._make_room()
            self._number += 1
            path = folder / f"{time.time_ns():020d}-{self._pid}-{self._number}.seg"
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.write(file, _MAGIC)
            self._files[signal], self._sizes[signal] = file, len(_MAGIC)
        return self._files[signal]

    def _make_room(self) -> None:
        """Remove the oldest segments while the whole outbox is over its bound."""
        sized = [(path, path.stat().st_size) for signal in SIGNALS for path in segments(self.folder, signal)]
        total = sum(size for _, size in sized) + self._segment_bytes
        for path, size in sorted(sized, key=lambda entry: entry[0].name):
            if total <= self._bound:
                return
            lost = sum(1 for _ in read_segment(path))
            path.unlink(missing_ok=True)
            total -= size
            self._count_dropped(lost, f"{self.folder}: over {self._bound} bytes; the oldest telemetry is dropped")

    def _count_dropped(self, count: int, message: str) -> None:
        self.dropped += count
        if not self._told:
            self._told = True
            print(message, file=sys.stderr, flush=True)

    def _sync_often(self) -> None:
        while not self._closing.wait(_SYNC_SECONDS):
            self.sync()

    def _begin_anew_in_child(self) -> None:
        """After a fork: the parent's segments are the parent's, and its threads do not exist here."""
        self.__init__(self.folder, bound=self._bound, segment_bytes=self._segment_bytes)  # type: ignore[misc]
