"""The outbox: every record goes to local disk first, in append-only segments that a shipper can deliver later.

    <outbox>/<signal>/<nanoseconds>-<pid>-<number>.seg        signal: logs, traces, metrics

A segment begins with `GFOB` and a version (one byte). Then frames follow, all numbers little-endian: length of the
payload (32 bits), CRC-32 of the time's eight bytes and the payload (32 bits), time written (64 bits, nanoseconds since
1970), and the payload: one OTLP request (`ExportLogsServiceRequest`, `ExportTraceServiceRequest`,
`ExportMetricsServiceRequest`) as protobuf. `telemetry/segments.py` reads them.

Each process writes segments of its own. A frame is one `write`: after SIGKILL of the process all but the frame being
written is there, after a power cut all but the last second. While a segment is open its writer holds a shared `flock` on
it, by which the shipper (`telemetry/delivery.py`) knows that more may come.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
from pathlib import Path

from telemetry import clock, delivery_state
from telemetry.segments import FRAME, MAGIC, SIGNALS, Signal, checksum, segments

_SEGMENT_BYTES = 4 << 20
_BOUND_BYTES = 512 << 20
_SYNC_SECONDS = 1.0


class Outbox:
    """One process's way into the outbox. Nothing here raises: records that cannot be written are counted in `dropped`."""

    def __init__(self, folder: Path, *, bound: int = _BOUND_BYTES, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self.folder = folder
        self.dropped = 0  # records that could not be written, or went with an old segment when the bound was reached
        self._bound, self._segment_bytes = bound, segment_bytes
        self._told = False
        self._begin()

    def _begin(self) -> None:
        self._files: dict[Signal, int] = {}
        self._sizes: dict[Signal, int] = {}
        self._dirty = set[int]()
        self._full: list[int] = []  # files that are complete: synced and closed off the caller's thread
        self._number = 0
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_often, name="outbox-sync", daemon=True)
        self._syncer.start()

    @property
    def is_ours(self) -> bool:
        """Whether this process made it: after a fork the parent's segments, lock and thread are the parent's."""
        return os.getpid() == self._pid

    def append(self, signal: Signal, payload: bytes) -> None:
        """Add one OTLP request."""
        if not self.is_ours:
            self._begin()
        now = clock.now_ns()
        frame = FRAME.pack(len(payload), checksum(now, payload), now) + payload
        with self._lock:
            try:
                self._write(signal, frame)
            except OSError as error:
                self._drop(1, f"{self.folder}: telemetry cannot be written ({error}); the run goes on without it")

    def sync(self) -> None:
        """Wait until all appended records are on disk. Appending continues meanwhile."""
        with self._lock:
            files, self._full = self._full, []
            files += [os.dup(file) for file in self._dirty]
            self._dirty.clear()
        for file in files:
            try:
                os.fsync(file)
            except OSError as error:
                with self._lock:
                    self._drop(0, f"{self.folder}: telemetry cannot be synced ({error})")
            finally:
                os.close(file)

    def close(self) -> None:
        """Sync and close the files."""
        self._closing.set()
        if self._syncer.is_alive() and threading.current_thread() is not self._syncer:
            self._syncer.join(2 * _SYNC_SECONDS)
        with self._lock:
            for signal in list(self._files):
                self._retire(signal)
        self.sync()

    def _write(self, signal: Signal, frame: bytes) -> None:
        if signal in self._files and self._sizes[signal] + len(frame) > self._segment_bytes:
            self._retire(signal)
        if signal not in self._files:
            self._open(signal)
        file = self._files[signal]
        if os.write(file, frame) != len(frame):
            self._cut_back(signal)
            raise OSError("the disk is full")
        self._sizes[signal] += len(frame)
        self._dirty.add(file)

    def _cut_back(self, signal: Signal) -> None:
        """Cut off an incomplete frame; if that fails, start a new segment, as nothing may follow it."""
        try:
            os.ftruncate(self._files[signal], self._sizes[signal])
        except OSError:
            self._retire(signal)

    def _open(self, signal: Signal) -> None:
        folder = self.folder / signal
        folder.mkdir(parents=True, exist_ok=True)
        self._make_room()
        self._number += 1
        path = folder / f"{clock.now_ns():020d}-{self._pid}-{self._number}.seg"
        new = path.with_suffix(".new")  # a segment is never seen without its lock
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.write(file, MAGIC) != len(MAGIC):
                raise OSError("the disk is full")
            new.rename(path)
        except OSError:
            os.close(file)
            new.unlink(missing_ok=True)
            raise
        self._files[signal], self._sizes[signal] = file, len(MAGIC)
        self._full.append(os.open(folder, os.O_RDONLY | os.O_CLOEXEC))  # its new entry is to be synced too

    def _retire(self, signal: Signal) -> None:
        file = self._files.pop(signal)
        self._dirty.discard(file)
        self._full.append(file)

    def _make_room(self) -> None:
        """Remove the oldest segments while the whole outbox is over its bound."""
        sized = []
        for signal in SIGNALS:
            for path in segments(self.folder, signal):
                try:
                    sized.append((path.name, path, path.stat().st_size, signal))
                except FileNotFoundError:
                    continue  # delivered and removed by the shipper, or dropped by another process
        total = sum(size for _, _, size, _ in sized) + self._segment_bytes
        reason = f"over {self._bound} bytes; the oldest telemetry is dropped"
        for _, path, size, signal in sorted(sized):
            if total <= self._bound:
                return
            try:
                lost = delivery_state.waiting_in(path, signal).records
                path.unlink()
            except FileNotFoundError:
                lost = 0
            total -= size
            self._drop(lost, f"{self.folder}: {reason}")
            if lost:
                with contextlib.suppress(OSError):  # the disk may be full as well: `dropped` counts it
                    delivery_state.note_dropped(self.folder, lost, reason)

    def _drop(self, count: int, message: str) -> None:
        self.dropped += count
        if not self._told:
            self._told = True
            try:
                print(message, file=sys.stderr, flush=True)
            except (OSError, ValueError):
                return  # standard error was closed; the count is kept

    def _sync_often(self) -> None:
        closing = self._closing  # of this process: a fork makes a new one
        while not closing.wait(_SYNC_SECONDS):
            self.sync()
