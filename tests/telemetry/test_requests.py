"""Spans of requests: many at once in one thread, each of its own trace or of whoever asked, linked to what it came from."""

import pytest

from telemetry import Observe, clock, context
from telemetry.context import TraceContext
from telemetry.export import Request
from telemetry.records import request_class
from telemetry.segments import read_segment, segments
from tests.step_process import units
from tests.waiting import until

OWN, ASKER, MADE_BY = 0xAB << 100, 0xCD << 90, 0xEF << 80


def opened(folder):
    return Observe.open(
        "glassformer", pipeline="", run="r", step="serving", node="", outbox=folder / "outbox", terminal=False
    )


@pytest.fixture
def said(tmp_path):
    observe = opened(tmp_path)
    with observe.span("step"):
        observe.request(Request("request", clock.now_ns() - 5_000_000, OWN, 7, None, [(MADE_BY, 9)], {"version": "3"}))
        observe.request(
            Request(
                "request",
                clock.now_ns(),
                ASKER,
                8,
                TraceContext(ASKER, 0x55),
                [],
                {"http.response.status_code": 500},
                "it failed",
            )
        )
    trace_id = int(observe.trace_id, 16)
    observe.close()
    parts = [
        request_class("traces").FromString(unit).resource_spans[0] for unit in units(tmp_path / "outbox", "traces")
    ]
    return [part.scope_spans[0].spans[0] for part in parts], trace_id


def test_request_span_has_the_given_ids_and_link(said):
    (step, own, asked), trace_id = said
    assert (int(own.trace_id.hex(), 16), int(own.span_id.hex(), 16), own.parent_span_id) == (OWN, 7, b"")
    assert [(int(link.trace_id.hex(), 16), int(link.span_id.hex(), 16)) for link in own.links] == [(MADE_BY, 9)]
    assert (int(asked.trace_id.hex(), 16), int(asked.parent_span_id.hex(), 16)) == (ASKER, 0x55)
    assert asked.links == []
    assert int(step.trace_id.hex(), 16) == trace_id, "the process's own spans stay in its own trace"
    assert step.span_id not in (own.span_id, asked.span_id)


def test_request_span_has_duration_and_status(said):
    (_, own, asked), _ = said
    assert 5e6 <= own.end_time_unix_nano - own.start_time_unix_nano < 5e9
    assert own.kind == asked.kind == 2, "SERVER"
    assert {pair.key: pair.value.string_value for pair in own.attributes} == {"version": "3"}
    assert (own.status.code, asked.status.code, asked.status.message) == (0, 2, "it failed")


def test_request_spans_are_written_in_batches_before_close(tmp_path):
    observe = opened(tmp_path)
    for number in range(1, 11):
        observe.request(Request("request", clock.now_ns(), number, number))
    until(lambda: len(units(tmp_path / "outbox", "traces")) == 10)
    frames = [frame for path in segments(tmp_path / "outbox", "traces") for frame in read_segment(path)]
    assert len(frames) < 10
    observe.close()


def test_unlisted_request_name_raises_an_error(tmp_path):
    with pytest.raises(ValueError, match="telemetry name 'requested' is not a name of span kind"):
        Observe.silent().request(Request("requested", 0, 1, 1))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{1:032x}-{2:016x}-01", (1, 2, 1)),
        (f"00-{1:032x}-{2:016x}-00", (1, 2, 0)),
        (f"00-{0:032x}-{2:016x}-01", None),
        (f"00-{1:032x}-{0:016x}-01", None),
        ("", None),
        ("nonsense", None),
        (f"00-{1:032x}-{2:016x}-01\n", None),
    ],
)
def test_traceparent_is_parsed_per_w3c_trace_context(header, expected):
    assert context.parse(header) == expected
