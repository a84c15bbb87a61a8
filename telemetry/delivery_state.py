"""Delivery state kept next to the segments: the progress of each segment, and of delivery as a whole.

    <outbox>/<signal>/<segment>.ack     how far a segment is delivered, and which batch is on its way
    <outbox>/delivery.json              by signal: delivered, set aside, last error
    <outbox>/dead-letter/<signal>.jsonl records permanently refused by a backend, with the reason
    <outbox>/damaged/                   segments that cannot be read
    <outbox>/dropped.jsonl              records never delivered because the outbox was full

Written whole and synced, by the one shipper that holds the lock (`dropped.jsonl`: by the process that drops).
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from redaction import redact
from telemetry import records
from telemetry.line_file import LineFile
from telemetry.segments import SIGNALS, SegmentError, Signal, read_segment, segments


@dataclass(frozen=True)
class Acknowledged:
    """Delivery mark of a segment: all before `end` is delivered. A batch up to `sending` was in flight when this was written."""

    end: int = 0
    sending: int = 0


def read_mark(segment: Path) -> Acknowledged:
    """The delivery mark of a segment; the start if none was written."""
    try:
        kept = json.loads(_ack_file(segment).read_bytes())
        return Acknowledged(int(kept["end"]), int(kept["sending"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Acknowledged()


def acknowledge(segment: Path, end: int, sending: int = 0) -> None:
    """Keep how far a segment is delivered."""
    _write(_ack_file(segment), {"end": end, "sending": sending})


def forget(segment: Path) -> None:
    """Remove a segment that is delivered. Its mark goes last: one without a segment means nothing."""
    segment.unlink(missing_ok=True)
    _ack_file(segment).unlink(missing_ok=True)


def sweep(outbox: Path) -> None:
    """Remove the marks of segments that are gone: the outbox drops the oldest when it reaches its bound."""
    for signal in SIGNALS:
        for mark in (outbox / signal).glob("*.ack"):
            if not mark.with_suffix(".seg").exists():
                mark.unlink(missing_ok=True)


@dataclass
class Progress:
    """Delivery progress of one signal, over all runs."""

    endpoint: str = ""
    delivered: int = 0  # records
    batches: int = 0
    set_aside: int = 0  # records that a backend refused: in the dead-letter file
    damaged: int = 0  # segments, or ends of them, that cannot be read
    perhaps_twice: int = 0  # batches that may have arrived twice: a shipper died between the answer and its mark
    perhaps_twice_records: int = 0  # the records in them
    last_delivered_at: float = 0.0
    last_error: str = ""
    last_error_at: float = 0.0


@dataclass
class Delivered:
    """The contents of `delivery.json`."""

    signals: dict[Signal, Progress] = field(default_factory=lambda: {signal: Progress() for signal in SIGNALS})

    @classmethod
    def read(cls, outbox: Path) -> Delivered:
        """Read the file; a new state if the file is missing or unreadable."""
        delivered = cls()
        try:
            kept = json.loads((outbox / "delivery.json").read_bytes())
            known = {part.name for part in fields(Progress)}
            for signal in SIGNALS:
                values = {name: value for name, value in kept.get(signal, {}).items() if name in known}
                delivered.signals[signal] = Progress(**values)
        except (FileNotFoundError, ValueError, AttributeError, TypeError):
            return cls()
        return delivered

    def write(self, outbox: Path) -> None:
        """Keep it."""
        _write(outbox / "delivery.json", self.as_dict())

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The fields of each signal."""
        return {signal: dict(vars(progress)) for signal, progress in self.signals.items()}


def set_aside(outbox: Path, signal: Signal, payload: bytes, reason: str) -> int:
    """Put records that will never be taken into the dead-letter file, with the reason. Returns how many."""
    count = records.count(signal, payload)
    letter = {"time": _now(), "records": count, "reason": reason, "request": redact(records.as_dict(signal, payload))}
    _add_line(outbox / "dead-letter" / f"{signal}.jsonl", letter)
    return count


def note_dropped(outbox: Path, count: int, reason: str) -> None:
    """Keep that records were dropped, for `status`."""
    _add_line(outbox / "dropped.jsonl", {"time": _now(), "records": count, "reason": reason})


def read_dropped(outbox: Path) -> list[dict[str, Any]]:
    """Records that were dropped, oldest first."""
    try:
        return [json.loads(line) for line in (outbox / "dropped.jsonl").read_text().splitlines() if line]
    except (FileNotFoundError, ValueError):
        return []


@dataclass
class Waiting:
    """Counts of undelivered records."""

    records: int = 0
    bytes: int = 0
    since: float = 0.0  # when the oldest was written, in seconds since 1970


def waiting(outbox: Path, signal: Signal) -> Waiting:
    """The undelivered records of one signal."""
    total = Waiting()
    for segment in segments(outbox, signal):
        try:
            found = waiting_in(segment, signal)
        except FileNotFoundError:
            continue  # delivered just now
        total.records += found.records
        total.bytes += found.bytes
        total.since = min(total.since or found.since, found.since or total.since)
    return total


def waiting_in(segment: Path, signal: Signal) -> Waiting:
    """The undelivered records of one segment; only its bytes if it cannot be read."""
    found = Waiting()
    try:
        for frame in read_segment(segment, read_mark(segment).end):
            found.records += records.count(signal, frame.payload)
            found.bytes += len(frame.payload)
            found.since = min(found.since or frame.time_ns / 1e9, frame.time_ns / 1e9)
    except SegmentError:
        found.bytes = segment.stat().st_size
    return found


def _ack_file(segment: Path) -> Path:
    return segment.with_suffix(".ack")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _write(path: Path, value: Any) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(json.dumps(value).encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _add_line(path: Path, value: Any) -> None:
    file = LineFile(path)
    try:
        file.add(json.dumps(value).encode() + b"\n")
        file.sync()
    finally:
        file.close()
