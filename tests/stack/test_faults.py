"""Faults around the real backends: away for a whole pipeline, killed in mid-run, a shipper killed in mid-send."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry import delivery_state, records
from telemetry.outbox import Outbox
from tests.pipeline_home import ROOT, Home
from tests.stack.conftest import Away
from tests.stack.live import Live, eventually
from tests.telemetry.receiver import Receiver, Reply, log_request

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs
MINUTE = 60 * 10**9


@pytest.fixture(scope="module")
def live(away: Away) -> Live:
    return away.live


# Backends down for a whole pipeline, then up, then replay


def test_every_log_record_arrives_once_with_its_own_time(away: Away) -> None:
    requests = [records.request_class("logs").FromString(unit) for unit in away.written["logs"]]
    written = [request.resource_logs[0].scope_logs[0].log_records[0] for request in requests]
    expected = Counter((record.time_unix_nano, record.body.string_value) for record in written)
    assert len(expected) > 50
    lines = eventually(
        lambda: away.live.logs('{service_name="glassformer"} | event != ""', away.began, time.time_ns()),
        lambda lines: len(lines) >= len(written),
    )
    assert (
        Counter((time_ns, line) for time_ns, line, labels in lines if labels["glassformer_run"] in _runs(away))
        == expected
    )


def test_every_sample_arrives_once_with_its_own_time(away: Away) -> None:
    expected = Counter(sample for unit in away.written["metrics"] for sample in _samples(unit))
    assert expected.total() > 500
    hours = int((time.time_ns() - away.began) / 3.6e12) + 1
    found: Counter[tuple[str, int, float]] = Counter()
    for run in _runs(away):
        # What Prometheus makes by itself (recorded series, alerts) has the run's labels as well.
        query = f'{{glassformer_run="{run}", __name__!~"target_info|ALERTS.*|.*:.*"}}[{hours}h]'
        for series in away.live._get("prometheus", "/api/v1/query", query=query, time=time.time())["result"]:
            about = series["metric"]
            found.update((about["instance"], round(float(at) * 1000), float(value)) for at, value in series["values"])
    assert found == expected


def test_every_span_arrives_once_with_its_own_time(away: Away) -> None:
    written = [records.request_class("traces").FromString(unit) for unit in away.written["traces"]]
    spans = [request.resource_spans[0].scope_spans[0].spans[0] for request in written]
    if not away.live.has_tempo:
        assert Counter(away.receiver.units("traces")) == Counter(away.written["traces"])
        return
    expected = Counter((s.span_id, s.start_time_unix_nano, s.end_time_unix_nano) for s in spans)
    found = [span for trace_id in {s.trace_id.hex() for s in spans} for span in _trace(away.live, trace_id)]
    times = [(int(s["startTimeUnixNano"]), int(s["endTimeUnixNano"])) for s in found]
    assert Counter(times) == Counter(pair[1:] for pair in expected.elements())
    assert len({span["spanId"] for span in found}) == len(spans) == len(found)


def test_replay_delivers_every_record_without_refusals(away: Away) -> None:
    assert f"{sum(map(len, away.written.values()))} records delivered" in away.replayed
    status = delivery_state.Delivered.read(away.home.state / "outbox").signals
    assert [(told.set_aside, told.damaged, told.perhaps_twice) for told in status.values()] == [(0, 0, 0)] * 3


def _trace(live: Live, trace_id: str) -> list[dict[str, Any]]:
    return list(eventually(lambda: live.trace(trace_id), bool))


def _runs(away: Away) -> set[str]:
    return {folder.name for folder in (away.home.state / "logs").iterdir()}


def _samples(unit: bytes) -> Iterator[tuple[str, int, float]]:
    """Samples of one data point in Prometheus: instance, milliseconds, value."""
    part = records.request_class("metrics").FromString(unit).resource_metrics[0]
    instance = next(a.value.string_value for a in part.resource.attributes if a.key == "service.instance.id")
    metric = part.scope_metrics[0].metrics[0]
    point = getattr(metric, metric.WhichOneof("data")).data_points[0]
    at = point.time_unix_nano // 1_000_000
    if metric.WhichOneof("data") != "histogram":
        yield instance, at, float(point.as_double if point.HasField("as_double") else point.as_int)
        return
    yield from ((instance, at, float(value)) for value in (point.count, point.sum))
    total = 0
    for count in point.bucket_counts:
        total += count
        yield instance, at, float(total)


# A backend restarted in mid-run, a shipper killed, two replays at once


def test_killed_backends_and_shipper_and_parallel_replays_lose_nothing(live: Live, tmp_path: Path) -> None:
    home, began = Home(tmp_path, live.environment), time.time_ns()
    process = home.start("run", "tiny", "--to", "pretrain")
    home.wait_for("runs/*/train_tokenizer.json")
    for name in {"loki", "prometheus", "tempo"} & set(live.services):
        killed = live.services[name].process
        assert killed is not None
        killed.kill()
        killed.wait(10)
    home.wait_for("runs/*/pretrain.metrics.jsonl")
    [shipper] = [one for one in home.processes() if one.cmdline()[2:4] == ["telemetry", "ship"]]
    shipper.kill()
    live.up()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]
    both = [home.start("replay", module="telemetry") for _ in range(2)]
    said = [one.communicate(timeout=120)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    logs = [
        json.loads(line) for file in (home.state / "logs").glob("*/*.jsonl") for line in file.read_text().splitlines()
    ]
    [run] = {record["run"] for record in logs}
    lines = eventually(
        lambda: live.logs(f'{{service_name="glassformer"}} | glassformer_run="{run}"', began, time.time_ns()),
        lambda lines: len(lines) >= len(logs),
    )
    assert Counter(line for _, line, _ in lines) == Counter(record["message"] for record in logs)
    query = f'last_over_time({{__name__=~"%s", glassformer_run="{run}"}}[1h])'
    losses = eventually(lambda: live.samples(query % "glassformer_training_update_loss_count"), bool)
    assert [value for _, value in losses] == [120.0], "every update, up to the last"
    assert len(live.samples(query % "glassformer_step_seconds")) == 3
    told = delivery_state.Delivered.read(home.state / "outbox").signals
    assert all(one.set_aside == one.damaged == 0 for one in told.values())
    assert all(one.perhaps_twice <= 2 for one in told.values()), "one for each kill: of the backend, of the shipper"


RUN_OF_KILLS = "killed-in-mid-send"


def test_shipper_killed_mid_send_repeats_and_counts_the_pending_batch(live: Live, tmp_path: Path) -> None:
    """Loki has taken the batch when the shipper dies, and the answer is still on its way."""
    now, messages = time.time_ns(), [f"record {number}" for number in range(100)]
    for start in range(0, 100, 20):
        outbox = Outbox(tmp_path)
        for number in range(start, start + 20):
            outbox.append("logs", _log(messages[number], now + number))
        outbox.close()
    target = live.environment["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
    kills = 0
    with Receiver(lambda signal_, request: _forwarded(target, request, after=1.0)) as between:
        for _ in range(3):
            seen = len(between.requests)
            process = _replay(tmp_path, between)
            while len(between.requests) == seen:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
        between.answers = lambda signal_, request: _forwarded(target, request)
        both = [_replay(tmp_path, between) for _ in range(2)]
        assert [(one.communicate(timeout=60), one.returncode)[1] for one in both] == [0, 0]
        sent = Counter(between.messages())
    told = delivery_state.Delivered.read(tmp_path).signals["logs"]
    assert set(sent) == set(messages), "nothing is lost"
    repeated = sum(sent.values()) - len(messages)
    assert repeated == kills * 20, "one batch for each kill"
    assert (told.perhaps_twice, told.perhaps_twice_records) == (kills, repeated), "and it is counted"
    lines = eventually(
        lambda: live.logs(
            f'{{glassformer_step="kills"}} | glassformer_run="{RUN_OF_KILLS}"', now - MINUTE, now + MINUTE
        ),
        lambda lines: len(lines) >= 100,
    )
    assert [line for _, line, _ in lines] == messages, "Loki keeps the same line at the same time once"


def _log(message: str, time_ns: int) -> bytes:
    request = records.request_class("logs").FromString(log_request(message, time_ns=time_ns))
    for name, value in (
        ("service.name", "glassformer"),
        ("glassformer.step", "kills"),
        ("glassformer.run", RUN_OF_KILLS),
    ):
        request.resource_logs[0].resource.attributes.add(key=name).value.string_value = value
    payload: bytes = request.SerializeToString()
    return payload


def _forwarded(url: str, request: Any, after: float = 0.0) -> Reply:
    """The real backend's answer, which takes its time."""
    sent = urllib.request.Request(url, request.SerializeToString(), {"content-type": "application/x-protobuf"})
    with urllib.request.urlopen(sent, timeout=30) as answer:
        return Reply(answer.status, after=after)


def _replay(outbox: Path, receiver: Receiver) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "telemetry", "replay", "--outbox", str(outbox)],
        cwd=ROOT,
        env=receiver.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
