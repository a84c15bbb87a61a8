"""Sinks for OpenTelemetry's SDK: records are encoded as OTLP requests and appended to the outbox."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from telemetry import clock
from telemetry.outbox import Outbox


class SpansToOutbox(SpanProcessor):
    """Each span as it ends."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def on_end(self, span: ReadableSpan) -> None:
        """Write it."""
        self._outbox.append("traces", encode_spans([span]).SerializeToString())


class RequestsToOutbox(SpanExporter):
    """Spans of requests, many at once: encoding each alone took an eighth of the process that serves them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write them."""
        self._outbox.append("traces", encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS


class LogsToOutbox(LogRecordProcessor):
    """Each log record at once."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Write it."""
        readable = ReadableLogRecord(
            log_record=log_record.log_record,
            resource=log_record.resource or Resource({}),
            instrumentation_scope=log_record.instrumentation_scope,
            limits=log_record.limits,
        )
        self._outbox.append("logs", encode_logs([readable]).SerializeToString())

    def shutdown(self) -> None:
        """Nothing is held back."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back."""
        return True


class MetricsToOutbox(MetricExporter):
    """Cumulative values, whenever the SDK's thread collects them; in a forked child, which inherits both, never."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Write them, in our clock's time."""
        if self._outbox.is_ours:
            request = encode_metrics(metrics_data)
            _in_our_time(request, clock.now_ns())
            self._outbox.append("metrics", request.SerializeToString())
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing is held back."""


def _in_our_time(request: Any, now_ns: int) -> None:
    """The SDK reads the wall clock by itself. All points were collected just now, and nothing in them is younger."""
    for point in _points(request):
        point.time_unix_nano = now_ns
        if hasattr(point, "start_time_unix_nano"):
            point.start_time_unix_nano = min(point.start_time_unix_nano, now_ns)
        for exemplar in point.exemplars:
            exemplar.time_unix_nano = min(exemplar.time_unix_nano, now_ns)


def _points(request: Any) -> Iterator[Any]:
    for part in request.resource_metrics:
        for scope in part.scope_metrics:
            for metric in scope.metrics:
                yield from getattr(metric, metric.WhichOneof("data")).data_points
