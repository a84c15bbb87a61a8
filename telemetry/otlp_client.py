"""An OTLP client for one backend: what each transport sends, and what an answer means.

`telemetry/otlp_http.py` and `telemetry/otlp_grpc.py` classify their answers alike, so `telemetry/delivery.py` knows neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from redaction import redact
from telemetry.segments import Signal

LONGEST_WAIT = 300.0  # of those that a backend asks for, in seconds
CONNECT_SECONDS = 5.0
_SHOWN = 400  # characters of a backend's words that are kept


class Kind(Enum):
    """The outcome of a request."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # these bytes will never be taken
    TOO_LARGE = "too large"
    LATER = "later"  # the backend is down, slow or busy
    FAILED = "failed"  # it failed inside: busy, or these bytes are more than it can take
    WRONG = "wrong"  # our address or credentials


@dataclass(frozen=True)
class Answer:
    """A backend's answer. `rejected` counts records that it left out although it took the rest."""

    kind: Kind
    reason: str = ""
    status: int = 0  # of HTTP, or gRPC's code
    rejected: int = 0
    wait: float | None = None  # seconds that it asked for
    taken: bool | None = False  # whether it took the request; None if unknown, as no answer came


class Backend(Protocol):
    """A kept connection to one endpoint."""

    def send(self, payload: bytes) -> Answer:
        """Send one request. Never raises for network or backend errors."""

    def close(self) -> None:
        """Close the connection."""


def read_success(signal: Signal, content: bytes, *, in_json: bool = False, status: int = 0) -> Answer | None:
    """A backend's answer of success, with the count of records that it rejected; None if it is not OTLP's."""
    from google.protobuf.message import DecodeError

    from telemetry.records import response_class

    response = response_class(signal)()
    try:
        if in_json:
            from google.protobuf import json_format

            try:
                json_format.Parse(content or b"{}", response, ignore_unknown_fields=True)
            except json_format.ParseError:
                return None
        else:
            response.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError):
        return None
    partial = response.partial_success
    field = {"logs": "rejected_log_records", "traces": "rejected_spans", "metrics": "rejected_data_points"}[signal]
    rejected = max(0, int(getattr(partial, field)))
    return Answer(Kind.DELIVERED, printable(str(partial.error_message)), status, rejected, taken=True)


def printable(text: str) -> str:
    """A backend's words on one line, shortened and without credentials."""
    clean = "".join(c if c.isprintable() and c != "\ufffd" else " " for c in text[: 4 * _SHOWN])
    return str(redact(" ".join(clean.split())))[:_SHOWN]
