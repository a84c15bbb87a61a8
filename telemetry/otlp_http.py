"""OTLP over HTTP: send requests to one backend and classify its answers.

Answers are classified by the OTLP specification ("OTLP/HTTP Response"), except 500: the specification calls it final, but
Loki returns it while it starts, so it is retried a few times first. A success is one only if its body is OTLP's too (or
empty): a sign-in page answers 200 and takes nothing.
"""

from __future__ import annotations

import gzip
import http.client
import select
import ssl
import time
from typing import Any
from urllib.parse import quote, urlsplit

from telemetry.endpoints import Endpoint, variable_of
from telemetry.otlp_client import CONNECT_SECONDS, LONGEST_WAIT, Answer, Kind, printable, read_success
from telemetry.segments import Signal

_READ_BYTES = 64 << 10  # of an answer
_SHOWN_OF_STRANGERS = 80  # of an answer that is no OTLP's
_PROTOBUF = {"application/x-protobuf", "application/protobuf", "application/octet-stream", ""}
_LATER = {408, 425, 429, 502, 503, 504}
_WRONG = {401, 403, 404, 405, 407, 415}
_AS_IT_IS = "%/?:@!$&'()*+,;=-._~"  # of a path and a query; everything else is sent as %XX
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # the other side hung up, which says nothing about certificates


class HttpBackend:
    """A kept connection to one endpoint. By the standard library: to import a client library costs more CPU than all requests of a run."""

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        self._signal, self._endpoint = signal, endpoint
        parts = urlsplit(endpoint.url)
        self._path = quote(f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}", safe=_AS_IT_IS)
        self._host, self._port, self._is_https = parts.hostname or "", parts.port, parts.scheme == "https"
        self._connection: http.client.HTTPConnection | None = None
        encoding = {"content-encoding": "gzip"} if endpoint.compressed else {}
        self._headers = {
            "content-type": "application/x-protobuf",
            **encoding,
            "user-agent": "glassformer",
            **endpoint.headers,
        }

    def send(self, payload: bytes) -> Answer:
        """Send one request. Never raises for network or backend errors."""
        body = gzip.compress(payload, compresslevel=1, mtime=0) if self._endpoint.compressed else payload
        try:
            connection = self._connect()
        except (OSError, UnicodeError) as error:  # a name may be one that no resolver could be asked for
            return self._failure(error, taken=False)
        try:
            connection.request("POST", self._path, body=body, headers=self._headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            return self._failure(error, taken=None)
        try:
            content = response.read(_READ_BYTES)
        except (OSError, http.client.HTTPException):
            content = b""
        if response.length and len(content) < _READ_BYTES:  # it was cut off: the status has arrived, which is enough
            content = b""
        if not response.isclosed():  # more than we care to read: the connection cannot be used again
            self.close()
        return self._read(response.status, response.headers, content)

    def _connect(self) -> http.client.HTTPConnection:
        """The kept connection, or a new one if there is none or the backend has hung up since."""
        kept = self._connection
        if kept is not None and kept.sock is not None and not _can_be_read(kept.sock):
            return kept
        self.close()
        seconds = min(CONNECT_SECONDS, self._endpoint.seconds)
        if self._is_https:
            new: http.client.HTTPConnection
            context = ssl.create_default_context(cafile=self._endpoint.certificate or None)
            if self._endpoint.client_certificate:
                context.load_cert_chain(self._endpoint.client_certificate, self._endpoint.client_key or None)
            new = http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        else:
            new = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        self._connection = new
        new.connect()
        new.sock.settimeout(self._endpoint.seconds)
        return new

    def _failure(self, error: Exception, *, taken: bool | None) -> Answer:
        self.close()
        reason = printable(str(error) or type(error).__name__)
        if isinstance(error, ssl.SSLError) and not isinstance(error, _CUT):
            return Answer(Kind.WRONG, f"{reason}; give its authority in {variable_of(None, 'CERTIFICATE')}")
        return Answer(Kind.LATER, reason, taken=taken)

    def _read(self, status: int, headers: Any, content: bytes) -> Answer:
        if 200 <= status < 300:
            answer = _read_success(self._signal, content, str(headers.get("content-type", "")), status)
            if answer is None:
                shown = printable(content.decode("utf-8", "replace"))[:_SHOWN_OF_STRANGERS]
                reason = f"HTTP {status}, but no OTLP answer ({shown}): a sign-in page, or another program?"
                return Answer(Kind.WRONG, reason, status)
            return answer
        # Plain text, or a google.rpc.Status whose text is plain within: what cannot be printed is left out.
        reason = f"HTTP {status}: {printable(content.decode('utf-8', 'replace'))}".rstrip(": ")
        if 300 <= status < 400:
            to = printable(str(headers.get("location", "elsewhere")))
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
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _can_be_read(connection: Any) -> bool:
    """Whether there is something to read where no answer is awaited: the end, as a rule."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(0))


def _read_success(signal: Signal, content: bytes, content_type: str, status: int) -> Answer | None:
    """The answer of a success; None if its body is not OTLP's: protobuf, JSON, or nothing at all."""
    kind = content_type.partition(";")[0].strip().lower()
    in_json = kind == "application/json"
    if content and not in_json and kind not in _PROTOBUF:
        return None
    answer = read_success(signal, content, in_json=in_json, status=status)
    if answer is None and len(content) >= _READ_BYTES:  # the rest of a long answer was not read
        return Answer(Kind.DELIVERED, status=status, taken=True)
    return answer


def _retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, section 10.2.3)."""
    import email.utils

    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else None  # NaN is no number of seconds
