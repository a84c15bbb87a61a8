"""OTLP over gRPC: send requests to one backend and classify its answers.

Codes are classified by the OTLP specification ("OTLP/gRPC Response"), but for those that HTTP's client treats otherwise as well:
INTERNAL and UNKNOWN are retried a few times first, as 500 is, and after a wrong address or credentials the records wait.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from telemetry.endpoints import Endpoint, variable_of
from telemetry.otlp_client import CONNECT_SECONDS, LONGEST_WAIT, Answer, Kind, printable, read_success
from telemetry.records import export_method
from telemetry.segments import Signal

_KINDS = {
    "CANCELLED": Kind.LATER,
    "DEADLINE_EXCEEDED": Kind.LATER,
    "ABORTED": Kind.LATER,
    "OUT_OF_RANGE": Kind.LATER,
    "UNAVAILABLE": Kind.LATER,
    "DATA_LOSS": Kind.LATER,
    "UNAUTHENTICATED": Kind.WRONG,
    "PERMISSION_DENIED": Kind.WRONG,
    "NOT_FOUND": Kind.WRONG,
    "UNIMPLEMENTED": Kind.WRONG,
    "RESOURCE_EXHAUSTED": Kind.TOO_LARGE,  # unless it says when to come back
    "INTERNAL": Kind.FAILED,
    "UNKNOWN": Kind.FAILED,
}
_NEVER_CONNECTED = ("failed to connect to", "errors resolving", "DNS resolution failed")  # how such a reason begins
_SETTLED_SECONDS = 0.1  # until a connection that broke is known as such
_OPTIONS = {
    "grpc.primary_user_agent": "glassformer",
    "grpc.enable_retries": 0,  # delivery retries, and counts
    "grpc.enable_http_proxy": 0,  # as over HTTP
    "grpc.use_local_subchannel_pool": 1,  # a connection of its own for each signal
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,  # delivery pauses by itself: its next request is to find a backend that is back
}


class GrpcBackend:
    """A kept connection to one endpoint."""

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its errors come as answers, not as lines among a run's
        import grpc

        self._signal, self._endpoint = signal, endpoint
        scheme, _, target = endpoint.url.partition("://")
        # The time for an attempt to connect: within that of a request, so that its end means that nothing was sent.
        connecting = int(1000 * min(CONNECT_SECONDS, endpoint.seconds / 2))
        options = [*_OPTIONS.items(), ("grpc.min_reconnect_backoff_ms", connecting)]
        if scheme == "https":
            files = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
            credentials = grpc.ssl_channel_credentials(*(Path(file).read_bytes() if file else None for file in files))
            self._channel = grpc.secure_channel(target, credentials, options)
        else:
            self._channel = grpc.insecure_channel(target, options)
        self._export = self._channel.unary_unary(export_method(signal))  # bytes to bytes
        self._compression = grpc.Compression.Gzip if endpoint.compressed else grpc.Compression.NoCompression

    def send(self, payload: bytes) -> Answer:
        """Send one request. Never raises for network or backend errors."""
        import grpc

        try:
            content = self._export(
                payload,
                timeout=self._endpoint.seconds,
                metadata=list(self._endpoint.headers.items()),
                compression=self._compression,
            )
        except grpc.RpcError as error:
            return self._read_error(error)
        answer = read_success(self._signal, content)
        return answer or Answer(Kind.WRONG, "gRPC OK, but no OTLP answer: another program?")

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _read_error(self, error: Any) -> Answer:
        code, words = error.code().name, error.details() or ""
        kind, wait = _KINDS.get(code, Kind.REFUSED), _retry_delay(error)
        if kind is Kind.TOO_LARGE and wait is not None:
            kind = Kind.LATER
        reason = f"gRPC {code}: {printable(words)}".rstrip(": ")
        if "SSL_ERROR" in words or "security handshaker" in words:
            kind = Kind.WRONG
            reason = f"{reason}; give its authority, as PEM, in {variable_of(None, 'CERTIFICATE')}"
        elif "Failed parsing HTTP/2" in words:
            kind, reason = Kind.WRONG, f"{reason}; give the backend's gRPC port (4317)"
        taken = None if self._is_perhaps_taken(code, words) else False
        return Answer(kind, reason, int(error.code().value[0]), wait=wait or None, taken=taken)

    def _is_perhaps_taken(self, code: str, words: str) -> bool:
        """Whether an error came from here, after the request may have arrived: too late, or the connection broke."""
        if code in ("CANCELLED", "DEADLINE_EXCEEDED"):
            return True
        return code == "UNAVAILABLE" and not words.startswith(_NEVER_CONNECTED) and not self._is_connected()

    def _is_connected(self) -> bool:
        """Whether the connection is still up: so it is after an answer of UNAVAILABLE."""
        states: list[str] = []

        def note(state: Any) -> None:
            states.append(state.name)

        self._channel.subscribe(note)
        time.sleep(_SETTLED_SECONDS)
        self._channel.unsubscribe(note)
        return set(states) == {"READY"}


def _retry_delay(error: Any) -> float | None:
    """Seconds of the RetryInfo in an error's details; None if there is none."""
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    info = error_details_pb2.RetryInfo()
    try:
        for detail in status_pb2.Status.FromString(details).details:
            if detail.Unpack(info):
                return float(min(max(info.retry_delay.ToTimedelta().total_seconds(), 0.0), LONGEST_WAIT))
    except (DecodeError, OverflowError):
        pass  # not what the specification says it is
    return None
