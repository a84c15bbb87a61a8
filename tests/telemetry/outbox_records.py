"""Read the records that an Observe wrote into its outbox, for tests."""

from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry import Observe
from telemetry.names import sent_as
from telemetry.segments import Signal, read_segment, segments

REQUESTS: dict[Signal, Any] = {
    "logs": ExportLogsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
RESOURCES: dict[Signal, str] = {"logs": "resource_logs", "traces": "resource_spans", "metrics": "resource_metrics"}


def open_observe(folder: Path, **changed: Any) -> Observe:
    about = {"pipeline": "docs", "run": "r1", "step": "pretrain", "node": "pretrain", "outbox": folder / "outbox"}
    return Observe.open("glassformer", **{**about, "log_file": folder / "log.jsonl", "terminal": False, **changed})


def requests(folder: Path, signal: Signal) -> list[Any]:
    frames = [frame for path in segments(folder / "outbox", signal) for frame in read_segment(path)]
    return [REQUESTS[signal].FromString(frame.payload) for frame in frames]


def resources(folder: Path) -> list[dict[str, Any]]:
    """The attributes of the process in the first request of each signal."""
    return [attributes(getattr(requests(folder, signal)[0], name)[0].resource) for signal, name in RESOURCES.items()]


def recorded_spans(folder: Path) -> list[Any]:
    return [
        span
        for r in requests(folder, "traces")
        for about in r.resource_spans
        for scope in about.scope_spans
        for span in scope.spans
    ]


def spans(folder: Path) -> dict[str, Any]:
    found = recorded_spans(folder)
    assert len({span.span_id for span in found}) == len(found)
    return {span.name: span for span in found}


def logs(folder: Path) -> list[Any]:
    return [
        record
        for r in requests(folder, "logs")
        for about in r.resource_logs
        for scope in about.scope_logs
        for record in scope.log_records
    ]


def points(folder: Path) -> dict[str, Any]:
    """Metrics as they stood last, by our own names."""
    last = requests(folder, "metrics")[-1]
    return {own_name(m): m for about in last.resource_metrics for scope in about.scope_metrics for m in scope.metrics}


def own_name(metric: Any) -> str:
    """A metric's name without the prefix that it is sent with."""
    own = str(metric.name.removeprefix("glassformer."))
    assert metric.name == sent_as(own)
    return own


def attributes(of: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}
