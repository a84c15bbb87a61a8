"""A synthetic run says all that a real one can, at the times it is told to, under ids of its own."""

import time

import pytest

from benchmarks import synthetic_runs
from benchmarks.synthetic_recording import TIMES, record
from benchmarks.synthetic_script import NODES
from telemetry import records
from telemetry.names import METRICS, SPANS, sent_as
from telemetry.segments import SIGNALS, read_segment, segments
from tests.telemetry.outbox_records import attributes

UPDATES = 60
HOUR = 3600 * 10**9


@pytest.fixture(scope="module")
def recordings():
    return {outcome: record(outcome, updates=UPDATES) for outcome in ("done", "cached", "failed")}


@pytest.fixture(scope="module")
def two():
    return synthetic_runs.runs(2, 5, updates=UPDATES)


def parts(request):
    return [part for _, found in request.ListFields() for part in found]


def metrics(said):
    return [
        m
        for one in said
        if one.signal == "metrics"
        for p in parts(one.request)
        for s in p.scope_metrics
        for m in s.metrics
    ]


def spans(requests):
    return [
        span for request in requests for part in parts(request) for scope in part.scope_spans for span in scope.spans
    ]


def everything(run):
    return [run.at(number) for number in range(len(run.said))]


def times(message):
    for field, value in message.ListFields():
        if field.name in TIMES:
            yield value
        elif field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from times(inner)


def test_recordings_contain_all_metrics_and_all_but_server_spans(recordings):
    said = [one for recording in recordings.values() for one in recording]
    assert {metric.name for metric in metrics(said)} == {sent_as(name) for name in METRICS}
    of_servers = {"request", "serve"}
    assert {span.name for span in spans(one.request for one in said if one.signal == "traces")} == set(
        SPANS
    ) - of_servers


def test_every_node_attempt_has_its_own_process(recordings):
    about = {
        (one.process, attributes(parts(one.request)[0].resource).get("glassformer.node", "pipeline"))
        for one in recordings["done"]
    }
    assert sorted(node for _, node in about) == sorted(["pipeline", "register", *NODES])


def test_recorded_times_follow_the_script(recordings):
    said = recordings["done"]
    moments = [moment for one in said for moment in times(one.request)]
    assert min(moments) >= 0
    assert max(moments) <= said[-1].time_ns + 1_000_000
    [pipeline] = [s for s in spans(one.request for one in said if one.signal == "traces") if s.name == "pipeline"]
    assert (pipeline.end_time_unix_nano - pipeline.start_time_unix_nano) / 1e9 == pytest.approx(
        said[-1].time_ns / 1e9, abs=1
    )
    losses = [one.time_ns for one in said if one.signal == "metrics" and one.process == 0]
    assert len(losses) >= said[-1].time_ns / 5e9 - 1, "the driver's metrics every five seconds"


def test_samples_of_one_series_have_distinct_times(recordings):
    seen = set()
    for one in recordings["done"]:
        for metric in metrics([one]):
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                series = (one.process, metric.name, tuple(sorted(attributes(point).items())), point.time_unix_nano)
                assert series not in seen
                seen.add(series)


def test_exemplars_refer_to_spans_of_the_same_run(two):
    for run in two:
        requests = everything(run)
        ids = {
            span.span_id
            for span in spans(
                request for said, request in zip(run.said, requests, strict=True) if said.signal == "traces"
            )
        }
        exemplars = [
            exemplar
            for said, request in zip(run.said, requests, strict=True)
            if said.signal == "metrics"
            for part in parts(request)
            for scope in part.scope_metrics
            for metric in scope.metrics
            for point in metric.histogram.data_points
            for exemplar in point.exemplars
        ]
        assert exemplars
        assert {exemplar.trace_id for exemplar in exemplars} == {run.trace_id}
        assert {exemplar.span_id for exemplar in exemplars} <= ids


def test_each_run_is_one_complete_trace_with_its_own_ids(two):
    found = [
        spans(request for said, request in zip(run.said, everything(run), strict=True) if said.signal == "traces")
        for run in two
    ]
    assert not {span.span_id for span in found[0]} & {span.span_id for span in found[1]}
    for run, own in zip(two, found, strict=True):
        assert {span.trace_id for span in own} == {run.trace_id}
        roots = [span for span in own if span.parent_span_id not in {other.span_id for other in own}]
        assert [span.name for span in roots] == ["pipeline"]


def test_runs_are_spread_over_hours_and_last_run_ends_now(two):
    ends = [max(moment for request in everything(run) for moment in times(request)) for run in two]
    assert 0 < time.time_ns() - ends[1] < HOUR // 10
    assert ends[1] - ends[0] == pytest.approx(5 * HOUR, rel=0.01)


def test_outbox_holds_every_record_of_all_runs(two, tmp_path):
    count = synthetic_runs.write(tmp_path, two)
    frames = {signal: [f for path in segments(tmp_path, signal) for f in read_segment(path)] for signal in SIGNALS}
    assert sum(map(len, frames.values())) == count == sum(len(run.said) for run in two)
    runs = {
        attributes(part.resource)["glassformer.run"]
        for frame in frames["logs"]
        for part in records.request_class("logs").FromString(frame.payload).resource_logs
    }
    assert runs == {run.run for run in two}
