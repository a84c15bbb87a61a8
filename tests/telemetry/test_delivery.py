"""Delivery against a strict receiver: nothing lost, nothing twice, what is refused set aside with its reason."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry import delivery, delivery_state
from telemetry.delivery import Delivery
from telemetry.endpoints import Endpoint
from telemetry.otlp_http import HttpBackend
from telemetry.outbox import Outbox
from telemetry.segments import segments
from tests.telemetry.receiver import Receiver, Reply, log_request


class Sending:
    """An outbox with log records, a receiver, and the delivery between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.receiver = Receiver()
        self.warnings: list[str] = []
        self.stopping = threading.Event()
        self.progress = delivery_state.Progress()
        self.backends = contextlib.ExitStack()

    def write(self, *messages: str) -> None:
        outbox = Outbox(self.folder)
        for message in messages:
            outbox.append("logs", log_request(message))
        outbox.close()

    def delivery(self) -> Delivery:
        backend = HttpBackend("logs", Endpoint(f"{self.receiver.address}/otlp/v1/logs", {}, seconds=1.0))
        self.backends.enter_context(contextlib.closing(backend))
        return Delivery(self.folder, "logs", backend, self.progress, self.warnings.append, self.stopping)

    def deliver_all(self, one: Delivery | None = None, most: int = 50) -> list[float]:
        """Until nothing waits; the pauses that it asked for."""
        one, pauses = one or self.delivery(), []
        for _ in range(most):
            wait = one.deliver()
            if wait is None:
                return pauses
            if wait:
                pauses.append(wait)
        raise AssertionError(f"still not all delivered: {self.progress}")

    def dead_letters(self) -> list[dict[str, Any]]:
        file = self.folder / "dead-letter" / "logs.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def set_aside(self) -> list[str]:
        return [
            record["body"]["stringValue"]
            for letter in self.dead_letters()
            for part in letter["request"]["resourceLogs"]
            for scope in part["scopeLogs"]
            for record in scope["logRecords"]
        ]


@pytest.fixture
def sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sending]:
    monkeypatch.setattr(delivery, "_PAUSES", (0.01,))
    monkeypatch.setattr(delivery, "_WRONG_PAUSE", 0.01)
    made = Sending(tmp_path)
    with made.backends:
        yield made
    made.receiver.close()


def bodies(request: Any) -> list[str]:
    return [r.body.string_value for part in request.resource_logs for s in part.scope_logs for r in s.log_records]


MESSAGES = [f"record {number}" for number in range(40)]


def test_records_arrive_once_in_order_and_segments_are_removed(sending: Sending) -> None:
    sending.write(*MESSAGES[:25])
    sending.write(*MESSAGES[25:])
    assert sending.deliver_all() == []
    assert sending.receiver.messages() == MESSAGES
    assert len(sending.receiver.requests) == 2, "one request a segment"
    assert (sending.progress.delivered, sending.progress.batches) == (40, 2)
    assert list((sending.folder / "logs").iterdir()) == []
    assert sending.warnings == []


def test_open_segment_is_kept_and_its_delivery_resumes(sending: Sending) -> None:
    outbox, one = Outbox(sending.folder), sending.delivery()
    outbox.append("logs", log_request("first"))
    sending.deliver_all(one)
    assert len(segments(sending.folder, "logs")) == 1
    outbox.append("logs", log_request("second"))
    sending.deliver_all(sending.delivery())  # another shipper takes over
    outbox.close()
    sending.deliver_all(one)
    assert sending.receiver.messages() == ["first", "second"]
    assert segments(sending.folder, "logs") == []


def test_batch_size_is_bounded(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_BATCH_BYTES", 100)
    sending.write(*MESSAGES)
    sending.deliver_all()
    assert sending.receiver.messages() == MESSAGES
    assert len(sending.receiver.requests) > 5


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_busy_backend_receives_records_later_and_once(sending: Sending, status: int) -> None:
    left = [status] * 3
    sending.receiver.answers = lambda signal, request: Reply(
        left.pop() if left else 200, headers={"retry-after": "0.5"}
    )
    sending.write(*MESSAGES)
    assert sending.deliver_all() == [0.5] * 3
    assert sending.receiver.messages() == MESSAGES
    assert sending.progress.last_error.startswith(f"HTTP {status}")
    assert sending.progress.perhaps_twice == 0
    assert sending.set_aside() == []


def test_refused_records_are_found_and_set_aside_and_the_rest_arrives(sending: Sending) -> None:
    bad = {"record 3", "record 17", "record 39"}
    sending.receiver.answers = lambda signal, request: (
        Reply(400, b"too far behind") if bad & set(bodies(request)) else Reply(200)
    )
    sending.write(*MESSAGES)
    sending.deliver_all()
    assert sending.receiver.messages() == [message for message in MESSAGES if message not in bad]
    assert set(sending.set_aside()) == bad
    assert {letter["reason"] for letter in sending.dead_letters()} == {"HTTP 400: too far behind"}
    assert (sending.progress.delivered, sending.progress.set_aside) == (37, 3)
    assert len(sending.warnings) == 1, "said once"
    assert segments(sending.folder, "logs") == []


def test_requests_are_bounded_when_everything_is_refused(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_MOST_REQUESTS", 10)
    sending.receiver.answers = lambda signal, request: Reply(400)
    sending.write(*MESSAGES)
    sending.deliver_all()
    assert sorted(sending.set_aside()) == sorted(MESSAGES)
    assert len(sending.receiver.requests) < 25


def test_too_large_batch_is_split(sending: Sending) -> None:
    sending.receiver.answers = lambda signal, request: Reply(413 if len(bodies(request)) > 7 else 200)
    sending.write(*MESSAGES)
    sending.deliver_all()
    assert sending.receiver.messages() == MESSAGES
    assert sending.set_aside() == []


def test_busy_backend_during_a_batch_split_causes_no_repeats(sending: Sending) -> None:
    asked = iter([413, 200, 503, 503, 200])
    sending.receiver.answers = lambda signal, request: Reply(next(asked))
    sending.write(*MESSAGES)
    sending.deliver_all()
    assert sending.receiver.messages() == MESSAGES


def test_partial_success_sets_rejected_records_aside_and_resends_nothing(sending: Sending) -> None:
    from telemetry import records

    response = records.response_class("logs")()
    response.partial_success.rejected_log_records = 2
    response.partial_success.error_message = "line too long"
    sending.receiver.answers = lambda signal, request: Reply(200, response.SerializeToString())
    sending.write("one", "two", "three")
    sending.deliver_all()
    assert len(sending.receiver.requests) == 1
    assert (sending.progress.delivered, sending.progress.set_aside) == (1, 2)
    assert sending.dead_letters()[0]["reason"] == "2 of these were left out: line too long"


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_wrong_settings_are_reported_once_and_lose_nothing(sending: Sending, status: int) -> None:
    sending.receiver.answers = lambda signal, request: Reply(status, headers={"location": "http://other/"})
    sending.write(*MESSAGES)
    one = sending.delivery()
    for _ in range(5):
        assert one.deliver() == 0.01
    assert len(sending.warnings) == 1
    assert f"HTTP {status}" in sending.warnings[0]
    assert "correct the endpoint or its headers" in sending.warnings[0]
    sending.receiver.answers = lambda signal, request: Reply()
    sending.deliver_all(one)
    assert sending.receiver.messages() == MESSAGES


def test_record_always_failing_with_500_does_not_block_the_others(sending: Sending) -> None:
    sending.receiver.answers = lambda signal, request: Reply(500 if "record 5" in bodies(request) else 200)
    sending.write(*MESSAGES)
    sending.deliver_all()
    assert sending.set_aside() == ["record 5"]
    assert len(sending.receiver.messages()) == 39


@pytest.mark.parametrize(("first", "messages"), [([], ["alone"]), ([413], ["one", "two"])])
def test_500_responses_after_a_long_outage_lose_no_records(
    sending: Sending, first: list[int], messages: list[str]
) -> None:
    """Only answers of 500 in a row are held against a record; being down for long is not."""
    asked = iter([*first, *[503] * 20, 500, 500, 503, 500, 500])
    sending.receiver.answers = lambda signal, request: Reply(next(asked, 200))
    sending.write(*messages)
    sending.deliver_all()
    assert sending.receiver.messages() == messages
    assert sending.set_aside() == []


def test_shipper_killed_before_acknowledging_repeats_and_counts_one_batch(sending: Sending) -> None:
    sending.write("first")
    sending.write("second")
    [first, _] = segments(sending.folder, "logs")

    def killed(segment: Path, end: int, sending_: int = 0) -> None:
        if not sending_:
            raise KeyboardInterrupt
        mark(segment, end, sending_)

    mark = delivery_state.acknowledge
    one = sending.delivery()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery_state, "acknowledge", killed)
        with pytest.raises(KeyboardInterrupt):
            one.deliver()
    assert delivery_state.read_mark(first).sending > 0
    sending.deliver_all()
    assert sending.receiver.messages() == ["first", "first", "second"]
    assert (sending.progress.perhaps_twice, sending.progress.perhaps_twice_records) == (1, 1)


def test_response_timeout_is_counted_as_a_possible_duplicate(
    sending: Sending,
) -> None:
    sending.write("one")
    sending.receiver.answers = lambda signal, request: Reply(after=2.0, taken=False)
    one = sending.delivery()
    assert one.deliver() == 0.01
    sending.receiver.answers = lambda signal, request: Reply()
    sending.deliver_all(one)
    assert sending.receiver.messages() == ["one"]
    assert sending.progress.perhaps_twice == 1


def test_damaged_segments_are_put_away_and_records_before_damage_arrive(sending: Sending) -> None:
    sending.write("one", "two")
    [path] = segments(sending.folder, "logs")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    sending.write("three")
    old = sending.folder / "logs" / "00000000000000000001-1-1.seg"
    old.write_bytes(b"GFOB\x00older")
    sending.deliver_all()
    assert sending.receiver.messages() == ["one", "three"]
    assert sorted(p.name for p in (sending.folder / "damaged").iterdir()) == [f"logs-{old.name}", f"logs-{path.name}"]
    assert (sending.folder / "damaged" / f"logs-{path.name}").stat().st_size == len(data)
    assert sending.progress.damaged == 2
    assert "damaged" in sending.warnings[0]


def test_batch_that_may_arrive_twice_is_counted_on_disk_before_its_mark_goes(sending: Sending) -> None:
    sending.write("one")
    (segment,) = segments(sending.folder, "logs")
    delivery_state.acknowledge(segment, 5, segment.stat().st_size)
    kept: list[tuple[int, bool]] = []
    one = sending.delivery()
    one._keep = lambda: kept.append((sending.progress.perhaps_twice, bool(delivery_state.read_mark(segment).sending)))
    sending.deliver_all(one)
    assert kept == [(1, True)]
