"""OTLP over HTTP: send requests to one backend and classify its answers.

Answers are classified by the OTLP specification ("OTLP/HTTP Response"), except 500: the specification calls it final, but
Loki returns it while it starts, so it is retried a few times first. A success is one only if its body is OTLP's too (or
empty): a sign-in page answers 200 and takes nothing.
"""

from __future__ import annotations

import email.utils
import gzip
import time
from typing import Any

from telemetry.endpoints import Endpoint, variable_of
from telemetry.otlp_client import CONNECT_SECONDS, LONGEST_WAIT, Answer, Kind, printable, read_success
from telemetry.segments import Signal

_READ_BYTES = 64 << 10  # of an answer
_SHOWN_OF_STRANGERS = 80  # of an answer that is no OTLP's
_PROTOBUF = {"application/x-protobuf", "application/protobuf", "application/octet-stream", ""}
_LATER = {408, 425, 429, 502, 503, 504}
_WRONG = {401, 403, 404, 405, 407, 415}


class HttpBackend:
    """A kept connection to one endpoint."""

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        import urllib3

        self._signal, self._endpoint = signal, endpoint
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, endpoint.seconds), read=endpoint.seconds),
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
        self._pool.clear()


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
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else None  # NaN is no number of seconds


def _words(error: BaseException) -> str:
    """The reason of a failed request, without the library's own wrapping."""
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, BaseException) else error)
    return printable(text.rpartition("object at 0x")[2].partition(">: ")[2] or text)
