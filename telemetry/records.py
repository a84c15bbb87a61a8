"""OTLP requests as records: count them, take them apart, show them. Requests of one signal join by concatenation.

(A request is one repeated field, and concatenated protobuf messages merge their repeated fields: protobuf's encoding
guide, "Last One Wins".) Bytes that are no request of ours, which a frame's checksum all but rules out, count as one record.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from telemetry.segments import Signal

_SERVICES: dict[Signal, tuple[str, str]] = {
    "logs": ("logs", "Logs"),
    "traces": ("trace", "Trace"),
    "metrics": ("metrics", "Metrics"),
}


def request_class(signal: Signal) -> Any:
    """The protobuf class of a signal's export request."""
    return _service_class(signal, "Request")


def response_class(signal: Signal) -> Any:
    """The protobuf class of a signal's export response."""
    return _service_class(signal, "Response")


def export_method(signal: Signal) -> str:
    """The full name of a signal's method in gRPC."""
    package, name = _SERVICES[signal]
    return f"/opentelemetry.proto.collector.{package}.v1.{name}Service/Export"


def _service_class(signal: Signal, what: str) -> Any:
    package, name = _SERVICES[signal]
    module = import_module(f"opentelemetry.proto.collector.{package}.v1.{package}_service_pb2")
    return getattr(module, f"Export{name}Service{what}")


def count(signal: Signal, payload: bytes) -> int:
    """Log records, spans or data points of a request."""
    request = _decode(signal, payload)
    return 1 if request is None else sum(1 for _ in _walk(signal, request))


def units(signal: Signal, payload: bytes) -> list[bytes]:
    """The same request as one request a record (log record, span, data point), in order."""
    request = _decode(signal, payload)
    if request is None:
        return [payload]
    return [_alone(signal, *found).SerializeToString() for found in _walk(signal, request)]


def as_dict(signal: Signal, payload: bytes) -> dict[str, Any]:
    """A request as OTLP's own JSON, to be read by people."""
    from google.protobuf.json_format import MessageToDict

    request = _decode(signal, payload)
    if request is None:
        return {"base64": base64.b64encode(payload).decode()}
    document: dict[str, Any] = MessageToDict(request)
    return document


def _decode(signal: Signal, payload: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return request_class(signal).FromString(payload)
    except DecodeError:
        return None


def _walk(signal: Signal, request: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Every record with its parents: resource part, scope part, record; for metrics its metric as well."""
    parts = {"logs": "resource_logs", "traces": "resource_spans", "metrics": "resource_metrics"}[signal]
    scopes = {"logs": "scope_logs", "traces": "scope_spans", "metrics": "scope_metrics"}[signal]
    for part in getattr(request, parts):
        for scope in getattr(part, scopes):
            if signal == "logs":
                yield from ((part, scope, record, None) for record in scope.log_records)
            elif signal == "traces":
                yield from ((part, scope, span, None) for span in scope.spans)
            else:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    if kind:
                        yield from ((part, scope, point, metric) for point in getattr(metric, kind).data_points)


def _alone(signal: Signal, part: Any, scope: Any, record: Any, metric: Any) -> Any:
    request = request_class(signal)()
    if signal == "logs":
        new = request.resource_logs.add()
        within = new.scope_logs.add()
        within.log_records.add().CopyFrom(record)
    elif signal == "traces":
        new = request.resource_spans.add()
        within = new.scope_spans.add()
        within.spans.add().CopyFrom(record)
    else:
        new = request.resource_metrics.add()
        within = new.scope_metrics.add()
        kept = within.metrics.add()
        kept.CopyFrom(metric)
        data = getattr(kept, metric.WhichOneof("data"))
        del data.data_points[:]
        data.data_points.add().CopyFrom(record)
    new.resource.CopyFrom(part.resource)
    new.schema_url = part.schema_url
    within.scope.CopyFrom(scope.scope)
    within.schema_url = scope.schema_url
    return request
