"""Delivery of one signal: send the oldest waiting batch to its backend and act on the answer.

A batch is marked as on its way, sent, and marked as delivered, each mark synced: a shipper that dies between the answer
and the mark makes one batch arrive twice at most, and the next shipper counts it. Nothing else is ever sent twice, and
nothing is lost: records that a backend refuses permanently are set aside with the reason (`telemetry/delivery_state.py`).
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from telemetry import delivery_state, records
from telemetry.otlp_client import Answer, Backend, Kind
from telemetry.segments import SegmentError, Signal, read_segment, segments

_BATCH_BYTES = 1 << 20  # before compression: Loki takes 4 MB a second, Tempo refuses traces over 5 MB
_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds after a first, second, ... failure in a row
_WRONG_PAUSE = 60.0
_MOST_FAILURES = 8  # answers of 500 in a row before a batch is taken apart
_MOST_FAILURES_OF_A_PART = 2  # then, of each part
_MOST_REQUESTS = 200  # to find the refused records of one batch; the rest is then set aside together


class StoppedError(Exception):
    """The shipper must end while a batch is taken apart: the whole batch waits for the next shipper."""


@dataclass(frozen=True)
class _Batch:
    segment: Path
    start: int
    end: int
    payload: bytes


class Delivery:
    """One signal on its way to one backend. Used by one thread of the one shipper that holds the outbox's lock."""

    def __init__(
        self,
        outbox: Path,
        signal: Signal,
        backend: Backend,
        progress: delivery_state.Progress,
        warn: Callable[[str], None],
        stopping: threading.Event,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        """`keep` writes the progress to disk; called when a count must outlive this process, whatever becomes of it."""
        self._keep = keep
        self._outbox, self._signal, self._backend = outbox, signal, backend
        self.progress, self._warn, self._stopping = progress, warn, stopping
        self._failures = 0  # in a row, of whatever kind
        self._answers_500 = 0  # in a row
        self._told: set[str] = set()
        self._requests = 0

    def deliver(self) -> float | None:
        """Deliver one batch: 0 when something was done, the seconds to wait after a failure, None when nothing waits."""
        batch = self._next()
        if batch is None:
            return None
        delivery_state.acknowledge(batch.segment, batch.start, batch.end)
        answer = self._backend.send(batch.payload)
        if self._is_to_be_tried_again(answer, _MOST_FAILURES):
            if answer.taken is not None:
                delivery_state.acknowledge(batch.segment, batch.start)
            return self._note_failure(answer)
        self._requests = 0
        try:
            self._settle(batch.payload, answer)
        except StoppedError:
            return self._pause(0)
        delivery_state.acknowledge(batch.segment, batch.end)
        self.progress.batches += 1
        self._failures = self._answers_500 = 0
        return 0.0

    def close(self) -> None:
        """Close the connection to the backend."""
        self._backend.close()

    # One batch and its answer

    def _settle(self, payload: bytes, answer: Answer) -> None:
        """Act on the answer to this request until each of its records is delivered or set aside."""
        if answer.kind is Kind.DELIVERED:
            count = records.count(self._signal, payload)
            if answer.rejected:  # the backend does not say which; it forbids sending any of them again
                count = max(0, count - answer.rejected)
                self._set_aside(payload, f"{answer.rejected} of these were left out: {answer.reason}", answer.rejected)
            self.progress.delivered += count
            self.progress.last_delivered_at = time.time()
            return
        parts = records.units(self._signal, payload)
        if len(parts) <= 1 or self._requests > _MOST_REQUESTS:
            self._set_aside(payload, answer.reason)
            return
        middle = len(parts) // 2
        for half in (b"".join(parts[:middle]), b"".join(parts[middle:])):
            self._settle(half, self._send_until_answered(half))

    def _send_until_answered(self, payload: bytes) -> Answer:
        """The rest of the batch has an answer already, so this part waits here for its own."""
        self._requests += 1
        self._answers_500 = 0
        while self._is_to_be_tried_again(answer := self._backend.send(payload), _MOST_FAILURES_OF_A_PART):
            if self._stopping.wait(self._note_failure(answer)):
                raise StoppedError
        return answer

    def _is_to_be_tried_again(self, answer: Answer, most: int) -> bool:
        """Whether these bytes may be accepted later; repeated answers of 500 end the attempts."""
        self._answers_500 = self._answers_500 + 1 if answer.kind is Kind.FAILED else 0
        return answer.kind in (Kind.LATER, Kind.WRONG) or 0 < self._answers_500 <= most

    def _set_aside(self, payload: bytes, reason: str, rejected: int | None = None) -> None:
        count = delivery_state.set_aside(self._outbox, self._signal, payload, reason)
        self.progress.set_aside += count if rejected is None else rejected
        self._error(reason)
        self._tell(
            "set aside",
            f"{self._signal}: records refused for good ({reason}); "
            f"they are in {self._outbox / 'dead-letter' / f'{self._signal}.jsonl'}",
        )

    def _note_failure(self, answer: Answer) -> float:
        self._failures += 1
        self._error(answer.reason)
        if answer.kind is Kind.WRONG:
            self._tell(
                f"wrong {answer.status}",
                f"{self._signal}: {self.progress.endpoint}: {answer.reason}; "
                f"correct the endpoint or its headers; the records wait",
            )
            return _WRONG_PAUSE
        return self._pause(self._failures - 1) if answer.wait is None else answer.wait

    def _pause(self, failures: int) -> float:
        return _PAUSES[min(failures, len(_PAUSES) - 1)]

    def _error(self, reason: str) -> None:
        self.progress.last_error, self.progress.last_error_at = reason, time.time()

    def _tell(self, about: str, message: str) -> None:
        if about not in self._told:
            self._told.add(about)
            self._warn(message)

    # What waits

    def _next(self) -> _Batch | None:
        """The oldest batch that waits. Segments that are delivered, or cannot be read, are cleared away."""
        for segment in segments(self._outbox, self._signal):
            mark = delivery_state.read_mark(segment)
            try:
                if mark.sending:
                    self._count_perhaps_twice(segment, mark)
                complete = _is_complete(segment)
                batch = self._read(segment, mark.end)
                if batch is not None:
                    return batch
                if complete:
                    self._finish(segment, mark.end)
            except FileNotFoundError:
                continue  # dropped just now, as the outbox is at its bound
            except SegmentError as error:
                self._put_away(segment, str(error))
        return None

    def _count_perhaps_twice(self, segment: Path, mark: delivery_state.Acknowledged) -> None:
        """The last shipper died, or gave up waiting for an answer, while these were on their way."""
        sent = [frame.payload for frame in read_segment(segment, mark.end) if frame.end <= mark.sending]
        self.progress.perhaps_twice += 1
        self.progress.perhaps_twice_records += sum(records.count(self._signal, payload) for payload in sent)
        self._keep()  # before the mark goes, by which a later shipper would count it
        delivery_state.acknowledge(segment, mark.end)

    def _read(self, segment: Path, start: int) -> _Batch | None:
        payloads: list[bytes] = []
        size, end = 0, start
        for frame in read_segment(segment, start):
            if payloads and size + len(frame.payload) > _BATCH_BYTES:
                break
            payloads.append(frame.payload)
            size += len(frame.payload)
            end = frame.end
        return _Batch(segment, start, end, b"".join(payloads)) if payloads else None

    def _finish(self, segment: Path, end: int) -> None:
        """Remove a segment that is no longer written and fully delivered."""
        if segment.stat().st_size > max(end, 5):
            self._put_away(segment, f"{segment.stat().st_size - end} bytes behind the last whole record")
        else:
            delivery_state.forget(segment)

    def _put_away(self, segment: Path, reason: str) -> None:
        folder = self._outbox / "damaged"
        folder.mkdir(exist_ok=True)
        segment.replace(folder / f"{self._signal}-{segment.name}")
        delivery_state.forget(segment)
        self.progress.damaged += 1
        self._error(f"{segment.name}: {reason}")
        self._tell("damaged", f"{self._signal}: {segment.name}: {reason}; it lies in {folder}")


def _is_complete(segment: Path) -> bool:
    """Whether this segment is no longer written: its writer holds a shared lock on it as long as it is open."""
    with segment.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
