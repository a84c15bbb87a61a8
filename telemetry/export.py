"""OpenTelemetry's SDK, writing into the outbox: the only file that knows it. Imported when an Observe is opened.

Providers are ours alone, never the global ones: MLflow's own tracing must not end up in them. Nothing here draws from
Python's global random generator, which a step may have seeded: ids come from the system, and exemplars are taken of
histograms alone, whose reservoir keeps the last of each bucket (that of counters and gauges draws).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from telemetry import context
from telemetry.names import LABELS, METRICS
from telemetry.outbox import Outbox
from telemetry.process import Readings

_METRICS_EVERY_MS = 5000
_NO_SPAN = trace.set_span_in_context(trace.INVALID_SPAN, Context())  # no exemplar
_MOST_SERIES = 200  # of one metric; what goes beyond is summed into one series marked as overflow
_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}


@dataclass(frozen=True)
class OpenSpan:
    """A span that has begun. Its length is taken on the monotonic clock: a stepped clock cannot make it negative."""

    name: str
    span: trace.Span
    wall_ns: int
    monotonic_ns: int

    @property
    def ids(self) -> tuple[int, int]:
        """Trace id and span id."""
        about = self.span.get_span_context()
        return about.trace_id, about.span_id


class Signals:
    """Spans, logs and metrics of one process. All belong to one trace: the one received, else a new one."""

    def __init__(self, resource: Mapping[str, str], outbox: Outbox) -> None:
        about = Resource(dict(resource))
        received = context.received()
        self.trace_id, self._parent_id = received or (secrets.randbits(128) or 1, 0)
        self._tracers = TracerProvider(
            sampler=ALWAYS_ON, resource=about, id_generator=_Ids(self.trace_id), shutdown_on_exit=False
        )
        self._tracers.add_span_processor(_SpansToOutbox(outbox))
        self._tracer = self._tracers.get_tracer("glassformer")
        self._loggers = LoggerProvider(resource=about, shutdown_on_exit=False)
        self._loggers.add_log_record_processor(_LogsToOutbox(outbox))
        self._logger = self._loggers.get_logger("glassformer")
        reader = PeriodicExportingMetricReader(
            _MetricsToOutbox(outbox),
            export_interval_millis=_METRICS_EVERY_MS,
            export_timeout_millis=_METRICS_EVERY_MS,
            cardinality_limits={Counter: _MOST_SERIES, Histogram: _MOST_SERIES, Gauge: _MOST_SERIES},
        )
        self._meters = MeterProvider(
            [reader], resource=about, exemplar_filter=TraceBasedExemplarFilter(), shutdown_on_exit=False,
            views=[View(instrument_name="*", attribute_keys=set(LABELS))],
        )  # fmt: skip
        self._meter = self._meters.get_meter("glassformer")
        self._instruments: dict[str, Any] = {}
        self.watch(Readings().all)

    @property
    def ids(self) -> tuple[int, int]:
        """Trace id and span id outside every span of ours; the latter is 0 where nobody started us."""
        return self.trace_id, self._parent_id

    def start_span(self, name: str, parent: OpenSpan | None, attributes: Mapping[str, Any]) -> OpenSpan:
        """A span under `parent`, or under the span of the process that started us."""
        kind = SpanKind.SERVER if name == "pipeline" else SpanKind.INTERNAL
        wall, monotonic = time.time_ns(), time.monotonic_ns()
        around = self._around(parent)
        span = self._tracer.start_span(name, context=around, kind=kind, attributes=dict(attributes), start_time=wall)
        return OpenSpan(name, span, wall, monotonic)

    def end_span(self, begun: OpenSpan, failure: Mapping[str, str] | None, result: tuple[str, str] | None) -> None:
        """End a span. With `failure` (type, message, stacktrace) it is marked as failed; `result` is one attribute."""
        end = begun.wall_ns + time.monotonic_ns() - begun.monotonic_ns
        if failure is not None:
            about = {f"exception.{name}": text for name, text in failure.items()}
            begun.span.add_event("exception", about, timestamp=end)
            begun.span.set_status(Status(StatusCode.ERROR, f"{failure['type']}: {failure['message']}"))
        if result is not None:
            begun.span.set_attribute(*result)
        begun.span.end(end_time=end)

    def log(
        self, event: str, message: str, level: str, fields: Mapping[str, Any], within: OpenSpan | None, time_ns: int
    ) -> None:
        """One log record, written at `time_ns` (since 1970)."""
        self._logger.emit(
            LogRecord(
                timestamp=time_ns,
                observed_timestamp=time_ns,
                context=self._around(within),
                severity_number=_SEVERITIES[level],
                severity_text=level.upper(),
                body=message,
                attributes={**fields, "event": event},
                event_name=event,
            )
        )

    def set(self, name: str, value: float, attributes: Mapping[str, Any]) -> None:
        """Set a gauge."""
        self._instrument(name, self._meter.create_gauge).set(value, dict(attributes), context=_NO_SPAN)

    def add(self, name: str, amount: float, attributes: Mapping[str, Any]) -> None:
        """Add to a counter."""
        self._instrument(name, self._meter.create_counter).add(amount, dict(attributes), context=_NO_SPAN)

    def record(self, name: str, value: float, attributes: Mapping[str, Any], within: OpenSpan | None) -> None:
        """Record into a histogram. Its bucket's exemplar holds the span, and the attributes that are no labels."""
        self._instrument(name, self._meter.create_histogram).record(value, dict(attributes), self._around(within))

    def watch(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Ask for these metrics' values whenever metrics are written. `read` names the same ones each time."""
        for name in read():
            told = METRICS[name]
            ask: Any = lambda _, name=name: [Observation(read()[name])]  # noqa: E731
            if told.kind == "counter":
                self._meter.create_observable_counter(name, [ask], told.unit, told.meaning)
            else:
                self._meter.create_observable_gauge(name, [ask], told.unit, told.meaning)

    def flush(self) -> None:
        """Write what the metrics stand at."""
        self._meters.force_flush()

    def close(self) -> None:
        """Write what the metrics stand at, and end; two seconds at most."""
        self._meters.shutdown(timeout_millis=2000)
        self._tracers.shutdown()
        self._loggers.shutdown()

    def _around(self, parent: OpenSpan | None) -> Any:
        """The context of a new span or record: never whatever span another library has made current."""
        if parent is not None:
            return trace.set_span_in_context(parent.span)
        if not self._parent_id:
            return trace.set_span_in_context(trace.INVALID_SPAN)
        about = SpanContext(self.trace_id, self._parent_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        return trace.set_span_in_context(trace.NonRecordingSpan(about))

    def _instrument(self, name: str, create: Any) -> Any:
        if name not in self._instruments:
            told = METRICS[name]
            buckets = {"explicit_bucket_boundaries_advisory": told.buckets} if told.buckets else {}
            self._instruments[name] = create(name, unit=told.unit, description=told.meaning, **buckets)
        return self._instruments[name]


class _Ids(IdGenerator):
    def __init__(self, trace_id: int) -> None:
        self._trace_id = trace_id

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._trace_id


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
    """Cumulative values. A forked child inherits them and a ticking thread, and must not send them a second time."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox
        self._pid = os.getpid()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        if os.getpid() == self._pid:
            self._outbox.append("metrics", encode_metrics(metrics_data).SerializeToString())
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        return None
