"""OpenTelemetry's SDK, writing into the outbox (`telemetry/sinks.py`). Imported when an Observe is opened.

Providers are ours alone, never the global ones: MLflow's own tracing must not end up in them. Nothing here draws from
Python's global random generator, which a step may have seeded: ids come from the system, and exemplars are taken of
histograms alone, whose reservoir keeps the last of each bucket (that of counters and gauges draws).
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from telemetry import clock, sampling, sanitize
from telemetry.context import TraceContext
from telemetry.endpoints import DISABLED, is_disabled
from telemetry.extremes import EXTREMES, Extreme
from telemetry.labels import MOST_SERIES
from telemetry.names import LABELS, METRICS, STATE_LABELS, sent_as
from telemetry.outbox import Outbox
from telemetry.sinks import LogsToOutbox, MetricsToOutbox, RequestsToOutbox, SpansToOutbox

_METRICS_EVERY_MS = 5000
_REQUESTS_EVERY_MS = 500  # SIGKILL takes the spans of so long
_REQUESTS_AT_ONCE = 64  # more cost no less each, and keep the thread that answers waiting longer
_MOST_REQUESTS = 8192
_NO_SPAN = trace.set_span_in_context(trace.INVALID_SPAN, Context())  # no exemplar
_MOST_SERIES = MOST_SERIES + 50  # the SDK's own bound, never reached: it would sum gauges as if they were counters
_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}


@dataclass(frozen=True)
class OpenSpan:
    """A span that has begun."""

    name: str
    span: trace.Span

    @property
    def ids(self) -> TraceContext:
        """Its ids, and whether it is recorded."""
        about = self.span.get_span_context()
        return TraceContext(about.trace_id, about.span_id, about.trace_flags)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Those so far; empty if the span is not kept."""
        return dict(getattr(self.span, "attributes", None) or {})

    def add(self, attributes: Mapping[str, Any]) -> None:
        """More attributes, known only now."""
        self.span.set_attributes(dict(attributes))


@dataclass(frozen=True)
class Request:
    """A request that a server has answered: the ids and times of its span, and its attributes."""

    name: str
    began_ns: int  # of telemetry.clock
    trace_id: int
    span_id: int
    parent: TraceContext | None = None  # span of the caller
    links: Sequence[tuple[int, int]] = ()  # trace and span ids of what it came from
    attributes: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    share: float = 1.0  # of requests like this one whose spans are wanted


class Signals:
    """Spans, logs and metrics of one process. All belong to one trace: that of `within`, else the run's own, which has its id."""

    def __init__(self, resource: Mapping[str, str], outbox: Outbox, within: TraceContext | None) -> None:
        about = _with_environment(resource)
        own = TraceContext(_trace_of(resource.get("glassformer.run", "")), 0)
        self.ids = within or own  # outside every span of ours
        self._tracers = _tracers(about, _Ids(self.ids.trace_id), SpansToOutbox(outbox))
        self._tracer = self._tracers.get_tracer("glassformer")
        self._about, self._outbox = about, outbox
        self._requests: _Requests | None = None  # started with the first: most processes serve none
        self._loggers = LoggerProvider(resource=about, shutdown_on_exit=False)
        self._loggers.add_log_record_processor(LogsToOutbox(outbox))
        self._logger = self._loggers.get_logger("glassformer")
        reader = PeriodicExportingMetricReader(
            MetricsToOutbox(outbox),
            export_interval_millis=_METRICS_EVERY_MS,
            export_timeout_millis=_METRICS_EVERY_MS,
            cardinality_limits={Counter: _MOST_SERIES, Histogram: _MOST_SERIES, Gauge: _MOST_SERIES},
        )
        self._meters = MeterProvider(
            [reader],
            resource=about,
            exemplar_filter=TraceBasedExemplarFilter(),
            shutdown_on_exit=False,
            views=[View(instrument_name="*", attribute_keys=set(LABELS).union(*STATE_LABELS.values()))],
        )
        self._meter = self._meters.get_meter("glassformer")
        self._instruments: dict[str, Any] = {}
        self._extremes: dict[str, list[Extreme]] = {}

    def start_span(
        self, name: str, parent: OpenSpan | None, attributes: Mapping[str, Any], began_ns: int | None = None
    ) -> OpenSpan:
        """A span under `parent`, or under the span of the process that started us; it begins now, or has begun."""
        kind = SpanKind.SERVER if name == "pipeline" else SpanKind.INTERNAL
        now, around = clock.now_ns(), self._around(parent)
        began = min(began_ns or now, now)  # another process's clock may be ahead
        span = self._tracer.start_span(name, context=around, kind=kind, attributes=dict(attributes), start_time=began)
        return OpenSpan(name, span)

    def end_span(self, begun: OpenSpan, failure: Mapping[str, str] | None, result: tuple[str, str] | None) -> None:
        """End a span. With `failure` (type, message, stacktrace) it is marked as failed; `result` is one attribute."""
        end = clock.now_ns()
        if failure is not None:
            about = {f"exception.{name}": text for name, text in failure.items()}
            begun.span.add_event("exception", about, timestamp=end)
            begun.span.set_status(Status(StatusCode.ERROR, f"{failure['type']}: {failure['message']}"))
        if result is not None:
            begun.span.set_attribute(*result)
        begun.span.end(end_time=end)

    def request(self, done: Request) -> bool:
        """Record an answered request as a span of its own trace, or of the caller's, linked to others. False if it is left out."""
        if self._requests is None:
            self._requests = _Requests(self._about, self._outbox)
        return self._requests.add(done)

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
        if name in EXTREMES:
            if name not in self._extremes:
                self._extremes[name] = self._watch_extremes(*EXTREMES[name])
            for extreme in self._extremes[name]:
                extreme.add(value)

    def watch(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Ask for these metrics' values whenever metrics are written. One that `read` leaves out later has none then."""
        for name in read():
            self._observe(name, partial(_value_of, read, name))

    def _watch_extremes(self, *names: str) -> list[Extreme]:
        found = [Extreme(choose) for choose in (min, max)]
        for name, extreme in zip(names, found, strict=True):
            self._observe(name, extreme.take)
        return found

    def _observe(self, name: str, values: Callable[[], list[float]]) -> None:
        """Ask for a metric's values whenever metrics are written."""

        def ask(_: Any) -> list[Observation]:
            return [Observation(value, STATE_LABELS.get(name)) for value in values()]

        meter, definition = self._meter, METRICS[name]
        create = meter.create_observable_counter if definition.kind == "counter" else meter.create_observable_gauge
        create(sent_as(name), [ask], definition.unit, definition.meaning)

    def flush(self) -> None:
        """Write the current values of the metrics."""
        self._meters.force_flush()

    def close(self) -> None:
        """Write the current values of the metrics and end; two seconds at most."""
        self._meters.shutdown(timeout_millis=2000)
        self._tracers.shutdown()
        if self._requests is not None:
            self._requests.close()
        self._loggers.shutdown()

    def _around(self, parent: OpenSpan | None) -> Any:
        """The context of a new span or record, independent of spans that other libraries have made current."""
        if parent is not None:
            return trace.set_span_in_context(parent.span)
        if not self.ids.span_id:
            return trace.set_span_in_context(trace.INVALID_SPAN)
        return trace.set_span_in_context(trace.NonRecordingSpan(_elsewhere(self.ids)))

    def _instrument(self, name: str, create: Any) -> Any:
        if name not in self._instruments:
            definition = METRICS[name]
            buckets = {"explicit_bucket_boundaries_advisory": definition.buckets} if definition.buckets else {}
            self._instruments[name] = create(
                sent_as(name), unit=definition.unit, description=definition.meaning, **buckets
            )
        return self._instruments[name]


def _value_of(read: Callable[[], Mapping[str, float]], name: str) -> list[float]:
    values = read()
    return [values[name]] if name in values else []


def _with_environment(resource: Mapping[str, str]) -> Resource:
    """Our resource, with what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add (OpenTelemetry's specification,
    "Resource SDK"). Theirs take the place of ours in the service's name and in the machine's; what dashboards go by stays."""
    given = sanitize.attributes(sanitize.fields(dict(OTELResourceDetector().detect().attributes)))
    fixed = {name: value for name, value in resource.items() if name.startswith(("service.", "glassformer."))}
    fixed.pop(SERVICE_NAME)
    return Resource({**resource, **given, **fixed})


def _trace_of(run: str) -> int:
    """The run's id, so that whoever has it has the trace; from the system where it does not have the form."""
    own = int(run, 16) if re.fullmatch(r"[0-9a-f]{32}", run) else 0
    return own or secrets.randbits(128) or 1


def _elsewhere(span: TraceContext) -> SpanContext:
    """A span of another process, or of another time."""
    return SpanContext(span.trace_id, span.span_id, is_remote=True, trace_flags=TraceFlags(span.flags))


def _tracers(about: Resource, ids: IdGenerator, processor: SpanProcessor) -> TracerProvider:
    with _with_ids() as wanted:
        sampler = _sampler() if wanted else ALWAYS_OFF
        provider = TracerProvider(sampler=sampler, resource=about, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


class Share(TraceIdRatioBased):
    """By the bits of a trace's id that W3C Trace Context, level 2, has random: in the run's id, made as a UUID, others are fixed."""

    TRACE_ID_LIMIT = (1 << 56) - 1


def _sampler() -> Sampler:
    chosen = sampling.of_environment()
    root = Share(chosen.ratio)
    return ParentBased(root) if chosen.is_parent_based else root


@contextmanager
def _with_ids() -> Iterator[bool]:
    """Whether spans are wanted. Within, the SDK gives them ids either way: those of the log files are real."""
    wanted, given = not is_disabled(), os.environ.pop(DISABLED, None)
    try:
        yield wanted
    finally:
        if given is not None:
            os.environ[DISABLED] = given


class _Requests:
    """Spans of requests, many of them a second: written together, a moment later."""

    def __init__(self, about: Resource, outbox: Outbox) -> None:
        self._ids = _GivenIds()
        waiting = BatchSpanProcessor(
            RequestsToOutbox(outbox),
            max_queue_size=_MOST_REQUESTS,
            schedule_delay_millis=_REQUESTS_EVERY_MS,
            max_export_batch_size=_REQUESTS_AT_ONCE,
        )
        self._tracers = _tracers(about, self._ids, waiting)
        self._tracer = self._tracers.get_tracer("glassformer")

    def add(self, done: Request) -> bool:
        """One that has been answered. False if it is left out."""
        if Share(done.share).should_sample(None, done.trace_id, done.name).decision is Decision.DROP:
            return False
        parent = trace.NonRecordingSpan(_elsewhere(done.parent)) if done.parent else trace.INVALID_SPAN
        links = [trace.Link(_elsewhere(TraceContext(*ids))) for ids in done.links]
        self._ids.give(done.trace_id, done.span_id)
        span = self._tracer.start_span(
            done.name,
            context=trace.set_span_in_context(parent, Context()),
            kind=SpanKind.SERVER,
            links=links,
            attributes=dict(done.attributes),
            start_time=done.began_ns,
        )
        if done.failure:
            span.set_status(Status(StatusCode.ERROR, done.failure))
        span.end(end_time=clock.now_ns())
        return span.get_span_context().trace_flags.sampled

    def close(self) -> None:
        """Write those that wait."""
        self._tracers.shutdown()


class _Ids(IdGenerator):
    """Ids from the system, all of one trace."""

    def __init__(self, trace_id: int) -> None:
        self._trace_id = trace_id

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._trace_id


class _GivenIds(IdGenerator):
    """Ids that a request was given when it began: for this thread's next span."""

    def __init__(self) -> None:
        self._local = threading.local()

    def give(self, trace_id: int, span_id: int) -> None:
        """The next span's."""
        self._local.trace_id, self._local.span_id = trace_id, span_id

    def generate_span_id(self) -> int:
        return int(self._local.span_id)

    def generate_trace_id(self) -> int:
        return int(self._local.trace_id)
