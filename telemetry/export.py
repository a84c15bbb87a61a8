"""OpenTelemetry's SDK, writing into the outbox: the only file that knows it. Imported when an Observe is opened.

Providers are ours alone, never the global ones: MLflow's own tracing must not end up in them. Ids come from the system's
randomness, because the SDK's default draws from Python's global generator, which a step may have seeded.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode

from telemetry import context
from telemetry.names import METRICS
from telemetry.outbox import Outbox

_METRICS_EVERY_MS = 5000
_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}


class Signals:
    """Spans, logs and metrics of one process."""

    def __init__(self, resource: Mapping[str, str], outbox: Outbox) -> None:
        about = Resource(dict(resource))
        self._tracers = TracerProvider(resource=about, id_generator=_SystemIds(), shutdown_on_exit=False)
        self._tracers.add_span_processor(_SpansToOutbox(outbox))
        self._tracer = self._tracers.get_tracer("glassformer")
        self._loggers = LoggerProvider(resource=about, shutdown_on_exit=False)
        self._loggers.add_log_record_processor(_LogsToOutbox(outbox))
        self._logger = self._loggers.get_logger("glassformer")
        reader = PeriodicExportingMetricReader(_MetricsToOutbox(outbox), export_interval_millis=_METRICS_EVERY_MS)
        self._meters = MeterProvider([reader], resource=about, shutdown_on_exit=False)
        self._meter = self._meters.get_meter("glassformer")
        self._instruments: dict[str, Any] = {}
        self._context = self._parent_context()

    def start_span(self, name: str, parent: trace.Span | None, attributes: Mapping[str, Any]) -> trace.Span:
        """A span under `parent`, or under the span of the process that started us."""
        around = trace.set_span_in_context(parent) if parent else self._context
        kind = SpanKind.SERVER if name == "pipeline" else SpanKind.INTERNAL
        return self._tracer.start_span(name, context=around, kind=kind, attributes=dict(attributes))

    def end_span(self, span: trace.Span, error: BaseException | None, message: str) -> None:
        """End a span; with an error it is marked as failed."""
        if error is not None:
            span.add_event("exception", {"exception.type": type(error).__name__, "exception.message": message})
            span.set_status(Status(StatusCode.ERROR, message))
        span.end()

    def log(self, event: str, message: str, level: str, fields: Mapping[str, Any], span: trace.Span | None) -> None:
        """One log record."""
        self._logger.emit(
            LogRecord(
                context=trace.set_span_in_context(span) if span else self._context,
                severity_number=_SEVERITIES[level],
                severity_text=level.upper(),
                body=message,
                attributes={"event": event, **fields},
                event_name=event,
            )
        )

    def set(self, name: str, value: float, attributes: Mapping[str, str]) -> None:
        """Set a gauge."""
        self._instrument(name, self._meter.create_gauge).set(value, dict(attributes))

    def add(self, name: str, amount: float, attributes: Mapping[str, str]) -> None:
        """Add to a counter."""
        self._instrument(name, self._meter.create_counter).add(amount, dict(attributes))

    def record(self, name: str, value: float, attributes: Mapping[str, str]) -> None:
        """Record into a histogram."""
        self._instrument(name, self._meter.create_histogram).record(value, dict(attributes))

    def close(self) -> None:
        """Write what the metrics stand at, and end."""
        self._meters.shutdown(timeout_millis=2000)
        self._tracers.shutdown()
        self._loggers.shutdown()

    def _instrument(self, name: str, create: Any) -> Any:
        if name not in self._instruments:
            told = METRICS[name]
            self._instruments[name] = create(name, unit=told.unit, description=told.meaning)
        return self._instruments[name]

    @staticmethod
    def _parent_context() -> Any:
        received = context.received()
        if received is None:
            return trace.set_span_in_context(trace.INVALID_SPAN)  # not whatever span another library has current
        trace_id, span_id = received
        sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        return trace.set_span_in_context(trace.NonRecordingSpan(trace.SpanContext(trace_id, span_id, True, sampled)))


class _SystemIds(IdGenerator):
    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) or 1


class _SpansToOutbox(SpanProcessor):
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def on_end(self, span: ReadableSpan) -> None:
        self._outbox.append("traces", encode_spans([span]).SerializeToString())


class _LogsToOutbox(LogRecordProcessor):
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        readable = ReadableLogRecord(
            log_record=log_record.log_record,
            resource=log_record.resource or Resource({}),
            instrumentation_scope=log_record.instrumentation_scope,
            limits=log_record.limits,
        )
        self._outbox.append("logs", encode_logs([readable]).SerializeToString())

    def shutdown(self) -> None:
        return None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class _MetricsToOutbox(MetricExporter):
    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        self._outbox.append("metrics", encode_metrics(metrics_data).SerializeToString())
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        return None


def span_ids(span: trace.Span | None) -> tuple[int, int]:
    """Trace id and span id of a span; zeros where there is none."""
    if span is None:
        return 0, 0
    about = span.get_span_context()
    return about.trace_id, about.span_id


__all__: Sequence[str] = ("Signals", "span_ids")
