"""Logs, spans and metrics through a real OpenTelemetry Collector, by HTTP and by gRPC: its file has what the outbox had."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from telemetry import records
from telemetry.segments import SIGNALS
from tests.pipeline_home import ROOT
from tests.stack.live import eventually, free_ports, program
from tests.telemetry.outbox_records import open_observe, requests

pytestmark = pytest.mark.stack

# Without metrics of its own it listens nowhere else.
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}}, grpc: {{endpoint: "127.0.0.1:{grpc}"}}}}}}}}
exporters: {{file: {{path: "{file}"}}}}
service:
  telemetry: {{logs: {{level: warn}}, metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [file]}}
    traces: {{receivers: [otlp], exporters: [file]}}
    metrics: {{receivers: [otlp], exporters: [file]}}
"""


@contextmanager
def collector(folder: Path) -> Iterator[dict[str, str]]:
    """A Collector that writes into `written.jsonl`; the variables that make all signals go to it, by protocol."""
    http, grpc = free_ports(2)
    config = folder / "collector.yaml"
    config.write_text(CONFIG.format(http=http, grpc=grpc, file=folder / "written.jsonl"))
    with (folder / "collector.log").open("w") as said:
        process = subprocess.Popen([program("otelcol"), f"--config={config}"], stdout=said, stderr=said)
    try:
        yield {"http/protobuf": f"http://127.0.0.1:{http}", "grpc": f"http://127.0.0.1:{grpc}"}
    finally:
        process.terminate()
        process.wait(30)


def replay(folder: Path, protocol: str, address: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-m", "telemetry", "replay", "--wait", "20", "--outbox", str(folder / "outbox")]
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    return subprocess.run(command, cwd=ROOT, env=clean | given, capture_output=True, text=True, check=False)


def written(folder: Path) -> list[dict[str, Any]]:
    """What the Collector has written, a request a line."""
    file = folder / "written.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def records_of(documents: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Records of requests in OTLP's JSON, in order, each as run, name and time, or a metric's data points."""
    found: dict[str, list[Any]] = {signal: [] for signal in SIGNALS}
    for part in (part for document in documents for parts in document.values() for part in parts):
        about = {pair["key"]: pair["value"] for pair in part["resource"]["attributes"]}
        run = about["glassformer.run"]["stringValue"]
        for scope in part.get("scopeLogs", []):
            found["logs"] += [(run, one["body"]["stringValue"], one["timeUnixNano"]) for one in scope["logRecords"]]
        for scope in part.get("scopeSpans", []):
            found["traces"] += [(run, one["name"], one["startTimeUnixNano"]) for one in scope["spans"]]
        for scope in part.get("scopeMetrics", []):
            for metric in scope["metrics"]:
                (data,) = (value for value in metric.values() if isinstance(value, dict))
                found["metrics"] += [(run, metric["name"], point["timeUnixNano"]) for point in data["dataPoints"]]
    return found


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_collector_has_every_record_of_all_signals_once(protocol: str, tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    with observe.span("step", node="pretrain"):
        for number in range(300):
            observe.log("step.started", f"line {number}")
        with observe.phase("train", rows=3):
            observe.metric("training.loss", 2.5)
            observe.measure("training.update_loss", 2.2, update=7)
    trace_id = observe.trace_id
    observe.close()
    sent = [
        records.as_dict(signal, request.SerializeToString())
        for signal in SIGNALS
        for request in requests(tmp_path, signal)
    ]
    expected = records_of(sent)
    assert all(expected.values())
    with collector(tmp_path) as addresses:
        eventually(lambda: replay(tmp_path, protocol, addresses[protocol]).returncode, 0)
    documents = written(tmp_path)
    assert records_of(documents) == expected
    spans = [span for d in documents for part in d.get("resourceSpans", []) for span in part["scopeSpans"][0]["spans"]]
    assert {span["traceId"] for span in spans} == {trace_id}
    assert replay(tmp_path, protocol, addresses[protocol]).stdout == "0 records delivered\n"
