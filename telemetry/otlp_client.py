"""An OTLP client: send requests to one backend over HTTP and classify its answers.

Answers are classified by the OTLP specification ("OTLP/HTTP Response"), except 500: the specification calls it final, but
Loki returns it while it starts, so it is retried a few times first. A success is one only if its body is OTLP's too (or
empty): a sign-in page answers 200 and takes nothing.
"""

from __future__ import annotations

import email.utils
import gzip
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

from redaction import redact
from telemetry.endpoints import Endpoint, variable_of
from telemetry.segments import Signal

_CONNECT_SECONDS = 5.0
_LONGEST_WAIT = 300.0
_READ_BYTES = 64 << 10  # of an answer
_SHOWN = 400  # characters of a backend's words that are kept
_SHOWN_OF_STRANGERS = 80  # of an answer that is no OTLP's
_PROTOBUF = {"application/x-protobuf", "application/protobuf", "application/octet-stream", ""}
_LATER = {408, 425, 429, 502, 503, 504}
_WRONG = {401, 403, 404, 405, 407, 415}


class Kind(Enum):
    """The outcome of a request."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # these bytes will never be taken
    TOO_LARGE = "too large"
    LATER = "later"  # the backend is down, slow or busy
    FAILED = "failed"  # it answered 500: busy, or these bytes are more than it can take
    WRONG = "wrong"  # our address or credentials


@dataclass(frozen=True)
class Answer:
    """A backend's answer. `rejected` counts records that it left out although it took the rest."""

    kind: Kind
    reason: str = ""
    status: int = 0
    rejected: int = 0
    wait: float | None = None  # seconds that it asked for
    taken: bool | None = False  # whether it took the request; None if unknown, as no answer came


class Backend:
    """A kept connection to one endpoint."""

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        import urllib3

        self._signal, self._endpoint = signal, endpoint
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, endpoint.seconds), read=endpoint.seconds),
            ca_certs=endpoint.certificate or None,
            cert_file=endpoint.client_certificate or None,
            key_file=endpoint.client_key or None,
        )
        encoding = {"content-encoding": "gzip"} if endpoint.compressed else {}
        self._headers = {
            "content-type": "application/x-protobuf",
            **encoding,
            "user-agent": "glassformer",
            **endpoint.headers,
        }

    def send(self, payload: bytes) -> Answer:
        """Send one request. Never raises for network or backend errors."""
        import urllib3

        body = gzip.compress(payload, compresslevel=1, mtime=0) if self._endpoint.compressed else payload
        try:
            response = self._pool.request(
                "POST", self._endpoint.url, body=body, headers=self._headers, redirect=False, preload_content=False
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            return Answer(Kind.LATER, _words(error))
        except urllib3.exceptions.SSLError as error:  # before anything was sent
            remedy = f"give its authority in {variable_of(None, 'CERTIFICATE')}"
            return Answer(Kind.WRONG, f"{_words(error)}; {remedy}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Answer(Kind.LATER, _words(error), taken=None)
        try:
            content = response.read(_READ_BYTES)
            if response.length_remaining:  # more than we care to read: the connection cannot be used again
                response.close()
        except (urllib3.exceptions.HTTPError, OSError):
            content = b""  # the status has arrived, which is enough
            response.close()
        response.release_conn()
        return self._read(response.status, response.headers, content)

    def _read(self, status: int, headers: Any, content: bytes) -> Answer:
        if 200 <= status < 300:
            found = _partial_success(self._signal, content, str(headers.get("content-type", "")))
            if found is None:
                shown = _printable(content.decode("utf-8", "replace"))[:_SHOWN_OF_STRANGERS]
                reason = f"HTTP {status}, but no OTLP answer ({shown}): a sign-in page, or another program?"
                return Answer(Kind.WRONG, reason, status)
            return Answer(Kind.DELIVERED, _printable(found[1]), status, found[0], taken=True)
        # Plain text, or a google.rpc.Status whose text is plain within: what cannot be printed is left out.
        reason = f"HTTP {status}: {_printable(content.decode('utf-8', 'replace'))}".rstrip(": ")
        if 300 <= status < 400:
            to = _printable(str(headers.get("location", "elsewhere")))
            return Answer(Kind.WRONG, f"HTTP {status}: it redirects to {to}; give that address", status)
        if status in _WRONG:
            return Answer(Kind.WRONG, reason, status)
        if status == 413:
            return Answer(Kind.TOO_LARGE, reason, status)
        if status in _LATER:
            return Answer(Kind.LATER, reason, status, wait=_retry_after(headers.get("retry-after", "")))
        if status >= 500:
            return Answer(Kind.FAILED, reason, status, wait=_retry_after(headers.get("retry-after", "")))
        return Answer(Kind.REFUSED, reason, status)

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()


def _partial_success(signal: Signal, content: bytes, content_type: str) -> tuple[int, str] | None:
    """Count of rejected records, with the reason; None for an answer that is not OTLP's: protobuf, JSON, or nothing at all."""
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    from telemetry.records import response_class

    response, kind = response_class(signal)(), content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            json_format.Parse(content or b"{}", response, ignore_unknown_fields=True)
        elif kind in _PROTOBUF or not content:
            response.ParseFromString(content)
        else:
            return None
    except (DecodeError, json_format.ParseError, UnicodeDecodeError):
        return (0, "") if len(content) >= _READ_BYTES else None  # the rest of a long answer was not read
    partial = response.partial_success
    field = {"logs": "rejected_log_records", "traces": "rejected_spans", "metrics": "rejected_data_points"}[signal]
    return max(0, int(getattr(partial, field))), str(partial.error_message)


def _retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, section 10.2.3)."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else None  # NaN is no number of seconds


def _words(error: BaseException) -> str:
    """The reason of a failed request, without the library's own wrapping."""
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, BaseException) else error)
    return _printable(text.rpartition("object at 0x")[2].partition(">: ")[2] or text)


def _printable(text: str) -> str:
    printable = "".join(c if c.isprintable() and c != "\ufffd" else " " for c in text[: 4 * _SHOWN])
    return str(redact(" ".join(printable.split())))[:_SHOWN]
