"""The real Loki and Prometheus, with the configuration that we ship, after a real run of a pipeline."""

import json
import os
import time

import pytest

from telemetry import delivery_state, records
from telemetry.endpoints import endpoints
from telemetry.names import METRICS
from telemetry.outbox import Outbox
from telemetry.segments import read_segment, segments
from telemetry.shipper import Shipper
from tests.pipeline_home import Home
from tests.stack.live import eventually
from tests.telemetry.receiver import Receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs
STEPS = {"prepare_data", "train_tokenizer", "pretrain", "finetune", "evaluate", "register", "promote"}
HOUR = 3600 * 10**9


@pytest.fixture(scope="module")
def ran(live, tmp_path_factory):
    """A pipeline that ran with the backends up; spans go to a strict receiver where there is no Tempo."""
    with Receiver() as receiver:
        traces = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.address}/v1/traces"}
        print("spans go to", "Tempo" if live.has_tempo else "the strict receiver: there is no Tempo on PATH")
        home = Home(tmp_path_factory.mktemp("home"), live.environment | ({} if live.has_tempo else traces))
        started = time.time_ns()
        home.run("run", "tiny", "--promote")
        home.run("replay", module="telemetry")
        yield home, receiver, started


def ship(folder, live):
    """Deliver a folder's outbox to the live backends; how it went, by signal."""
    warnings = []
    working = Shipper(folder, endpoints(live.environment), warnings.append)
    working.start()
    working.drain(20, patient=True)
    return delivery_state.Delivered.read(folder).signals, warnings


def resource(request, parts, **attributes):
    part = getattr(request, parts).add()
    for name, value in {"service.namespace": "glassformer", "service.name": "glassformer", **attributes}.items():
        part.resource.attributes.add(key=name).value.string_value = value
    return part


def write_logs(folder, run, entries, step="pretrain"):
    """Log records of one step, each with its time."""
    outbox = Outbox(folder)
    for time_ns, message in entries:
        request = records.request_class("logs")()
        part = resource(request, "resource_logs", **{"glassformer.step": step, "glassformer.run": run})
        record = part.scope_logs.add().log_records.add(time_unix_nano=time_ns, observed_time_unix_nano=time_ns)
        record.body.string_value = message
        outbox.append("logs", request.SerializeToString())
    outbox.close()


def write_span(folder, trace_id, name, start_ns, seconds):
    request = records.request_class("traces")()
    part = resource(request, "resource_spans", **{"glassformer.step": "pretrain"})
    part.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(trace_id),
        span_id=os.urandom(8),
        name=name,
        kind=1,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + int(seconds * 1e9),
    )
    outbox = Outbox(folder)
    outbox.append("traces", request.SerializeToString())
    outbox.close()


def spans_of(ran, live):
    """All spans of the run's trace, from Tempo, or from the strict receiver where there is no Tempo."""
    home, receiver, _ = ran
    [file] = (home.state / "logs").glob("*/pipeline.jsonl")
    trace_id = json.loads(file.read_text().splitlines()[0])["trace_id"]
    if live.has_tempo:
        return live.trace(trace_id)
    parts = [records.as_dict("traces", unit)["resourceSpans"][0] for unit in receiver.units("traces")]
    return [
        scope["spans"][0] | {"resource": {a["key"]: a["value"]["stringValue"] for a in part["resource"]["attributes"]}}
        for part in parts
        for scope in part["scopeSpans"]
    ]


def write_gauge(folder, run, points, name="glassformer.training.loss"):
    outbox = Outbox(folder)
    for time_ns, value in points:
        request = records.request_class("metrics")()
        part = resource(request, "resource_metrics", **{"glassformer.run": run, "service.instance.id": run})
        metric = part.scope_metrics.add().metrics.add(name=name, unit="{nat}")
        metric.gauge.data_points.add(time_unix_nano=time_ns, as_double=value)
        outbox.append("metrics", request.SerializeToString())
    outbox.close()


def test_telemetry_of_every_step_arrives_in_every_backend(ran, live):
    home, _, started = ran
    assert "0 records wait" in home.run("status", module="telemetry")

    def steps_in_loki():
        lines = live.logs('{service_name="glassformer"}', started, time.time_ns())
        return {labels["glassformer_step"] for _, _, labels in lines}

    eventually(steps_in_loki, STEPS | {"pipeline"})
    found = eventually(
        lambda: live.samples('last_over_time({__name__="glassformer_step_seconds"}[1h])'), lambda found: len(found) >= 8
    )
    assert {labels["glassformer_step"] for labels, _ in found} == STEPS
    spans = eventually(lambda: spans_of(ran, live), lambda spans: {"pipeline"} <= {span["name"] for span in spans})
    assert {span["resource"]["glassformer.step"] for span in spans} == STEPS | {"pipeline"}
    assert {"pipeline", "node", "step", "read", "train", "commit"} <= {span["name"] for span in spans}
    ids = [span["spanId"] for span in spans]
    assert len(ids) == len(set(ids)), "each span arrived once"
    parents = {span["spanId"]: span.get("parentSpanId", "") for span in spans}
    assert [span["name"] for span in spans if not parents[span["spanId"]]] == ["pipeline"], "one trace, one root"
    assert set(parents.values()) - {""} <= set(parents)


def test_loki_lines_match_the_log_file(ran, live):
    """Same records, same times, once each, with the ids that lead to the trace and the run."""
    home, _, started = ran
    [folder] = (home.state / "logs").iterdir()
    written = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]

    def found():
        return live.logs('{service_name="glassformer"} | event != ""', started, time.time_ns())

    lines = eventually(found, lambda lines: len(lines) >= len(written))
    assert sorted(record["message"] for record in written) == sorted(line for _, line, _ in lines)
    for _, _, labels in lines:
        assert labels["trace_id"] == written[0]["trace_id"]
        assert labels["glassformer_run"] == folder.name
    assert all(started <= time_ns <= time.time_ns() for time_ns, _, _ in lines)


def test_metrics_carry_their_units_and_the_run(ran, live):
    home, _, _ = ran
    [run] = [folder.name for folder in (home.state / "logs").iterdir()]
    names = {labels["__name__"] for labels, _ in live.samples(f'last_over_time({{glassformer_run="{run}"}}[1h])')}
    pushed = {name.removeprefix("glassformer_") for name in names if name.startswith("glassformer_")}
    assert {"training_loss", "step_seconds", "step_peak_bytes", "corpus_rows", "report_score"} <= pushed
    known = {name.replace(".", "_") for name in METRICS}
    assert all(any(name.startswith(one) for one in known) for name in pushed), names


def test_loki_streams_have_fixed_labels_and_stay_few(ran, live):
    """Runs do not multiply Loki's streams: its index labels come from fixed sets."""
    _, _, started = ran
    streams = live._get("loki", "/loki/api/v1/series", **{"match[]": '{service_name="glassformer"}', "start": started})
    assert all(
        set(s) <= {"service_name", "service_namespace", "glassformer_pipeline", "glassformer_step"} for s in streams
    ), streams
    assert len([s for s in streams if "glassformer_pipeline" in s]) <= len(STEPS) + 1


def test_twenty_hour_old_log_lines_are_stored_in_a_live_stream(live, tmp_path):
    now = time.time_ns()
    write_logs(tmp_path, "late", [(now, "live"), (now - 20 * HOUR, "late"), (now + 1, "live again")])
    found, warnings = ship(tmp_path, live)
    assert (found["logs"].delivered, found["logs"].set_aside, warnings) == (3, 0, [])
    lines = eventually(
        lambda: live.logs('{glassformer_step="pretrain"} | glassformer_run="late"', now - 24 * HOUR, now + HOUR),
        lambda lines: len(lines) == 3,
    )
    assert [(time_ns, line) for time_ns, line, _ in lines] == [
        (now - 20 * HOUR, "late"),
        (now, "live"),
        (now + 1, "live again"),
    ]


def test_log_lines_too_old_for_loki_are_set_aside_and_the_rest_stored_once(live, tmp_path):
    now = time.time_ns()
    write_logs(tmp_path, "old", [(now, "one"), (now - 400 * HOUR, "far too old"), (now + 1, "two")])
    found, warnings = ship(tmp_path, live)
    assert found["logs"].set_aside == 1
    [letter] = [json.loads(line) for line in (tmp_path / "dead-letter" / "logs.jsonl").read_text().splitlines()]
    assert "far too old" in json.dumps(letter["request"])
    assert "400" in letter["reason"]
    assert len(warnings) == 1
    lines = eventually(
        lambda: live.logs('{glassformer_step="pretrain"} | glassformer_run="old"', now - HOUR, now + HOUR),
        lambda lines: len(lines) >= 2,
    )
    assert [line for _, line, _ in lines] == ["one", "two"]


def test_out_of_order_samples_are_stored_and_too_old_ones_set_aside(live, tmp_path):
    now = time.time_ns()
    write_gauge(tmp_path, "late", [(now, 1.0), (now - 20 * HOUR, 2.0), (now - 10 * HOUR, 3.0)])
    found, _ = ship(tmp_path, live)
    assert (found["metrics"].delivered, found["metrics"].set_aside) == (3, 0)
    query = 'glassformer_training_loss{glassformer_run="late"}'
    for hours, value in ((0, 1.0), (20, 2.0), (10, 3.0)):
        eventually(lambda at=now / 1e9 - hours * 3600 + 1: [v for _, v in live.samples(query, at)], [value])
    write_gauge(tmp_path, "late", [(now - 60 * HOUR, 4.0)])
    found, _ = ship(tmp_path, live)
    assert found["metrics"].set_aside == 1
    assert '"reason": "HTTP 400' in (tmp_path / "dead-letter" / "metrics.jsonl").read_text()


def test_twenty_hour_old_spans_are_stored_and_found_by_time(live, tmp_path):
    if not live.has_tempo:
        pytest.skip("no Tempo on PATH, and none to build: only Tempo's own search could say")
    started = time.time_ns() - 20 * HOUR
    trace_id = os.urandom(16).hex()
    write_span(tmp_path, trace_id, "late", started, 3.0)
    found, warnings = ship(tmp_path, live)
    assert (found["traces"].delivered, found["traces"].set_aside, warnings) == (1, 0, [])
    [span] = eventually(lambda: live.trace(trace_id), lambda spans: len(spans) == 1)
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 3_000_000_000
    around = started / 1e9
    search = '{ resource.glassformer.step = "pretrain" && name = "late" }'
    answer = eventually(lambda: live.traces(search, around - 600, around + 600), bool, 240)
    assert [trace["traceID"].zfill(32) for trace in answer] == [trace_id]
    assert live.traces(search, around + 3600, around + 7200) == []


def test_backend_restart_loses_and_duplicates_no_log_lines(live, tmp_path):
    now = time.time_ns()
    messages = [f"record {number}" for number in range(60)]
    write_logs(tmp_path, "restart", [(now + n, m) for n, m in enumerate(messages[:30])])
    ship(tmp_path, live)
    live.down()
    write_logs(tmp_path, "restart", [(now + n + 30, m) for n, m in enumerate(messages[30:])])
    working = Shipper(
        tmp_path,
        endpoints({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": live.services["loki"].address + "/otlp/v1/logs"}),
        print,
    )
    working.start()
    working.drain(1, patient=True)
    assert delivery_state.waiting(tmp_path, "logs").records == 30
    live.up()
    ship(tmp_path, live)
    assert [len(list(read_segment(path))) for path in segments(tmp_path, "logs")] == []
    lines = eventually(
        lambda: live.logs('{glassformer_step="pretrain"} | glassformer_run="restart"', now - HOUR, now + HOUR),
        lambda lines: len(lines) >= 60,
        seconds=60,
    )
    assert [line for _, line, _ in lines] == messages
