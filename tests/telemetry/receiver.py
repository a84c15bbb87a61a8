"""A strict OTLP receiver on this machine, whose answers a test writes.

It takes what a backend would: POST, the path of its signal, gzip, protobuf that decodes, of records that are whole.
Anything else is kept as a fault, and `close` raises it.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from telemetry import records
from telemetry.segments import Signal

PATHS: dict[str, Signal] = {"/otlp/v1/logs": "logs", "/v1/traces": "traces", "/api/v1/otlp/v1/metrics": "metrics"}


@dataclass
class Reply:
    """One answer: `taken` says whether the records of the request are kept."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    taken: bool = True
    after: float = 0.0  # seconds
    cut: bool = False  # close in the middle of the body


Answers = Callable[[Signal, Any], Reply]


class Receiver:
    """Requests by signal, with the answer that `answers(signal, request)` gives to each."""

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers: Answers = answers or (lambda signal, request: Reply())
        self.taken: dict[Signal, list[bytes]] = {"logs": [], "traces": [], "metrics": []}
        self.requests: list[tuple[Signal, int]] = []  # signal, status
        self.headers: list[dict[str, str]] = []
        self.faults: list[str] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._handle(self)

            def log_message(self, *_: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                return  # a client that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make every signal go here."""
        return {f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": self.address + path for path, signal in PATHS.items()}

    def units(self, signal: Signal) -> list[bytes]:
        """Every record that was taken, in order, each as a request of its own."""
        return [unit for payload in self.taken[signal] for unit in records.units(signal, payload)]

    def messages(self) -> list[str]:
        """The bodies of the log records that were taken, in order."""
        return [body_of(unit) for unit in self.units("logs")]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert self.faults == []

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        signal = PATHS.get(handler.path)
        try:
            assert signal is not None, f"path {handler.path}"
            assert handler.headers["content-type"] == "application/x-protobuf"
            assert handler.headers["content-encoding"] == "gzip"
            payload = gzip.decompress(body)
            request = records.request_class(signal).FromString(payload)
            assert records.count(signal, payload) > 0, "a request without records"
        except Exception as error:
            self.faults.append(repr(error))
            handler.send_error(400)
            return
        with self._lock:
            reply = self.answers(signal, request)
            self.requests.append((signal, reply.status))
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            if reply.taken and reply.status < 300:
                self.taken[signal].append(payload)
        time.sleep(reply.after)
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(reply.body) + (100 if reply.cut else 0)))
        handler.end_headers()
        handler.wfile.write(reply.body)
        handler.close_connection = reply.cut


def body_of(unit: bytes) -> str:
    """The message of a request that holds one log record."""
    request = records.request_class("logs").FromString(unit)
    return str(request.resource_logs[0].scope_logs[0].log_records[0].body.string_value)


def log_request(*messages: str, time_ns: int = 1) -> bytes:
    """A request with these log records."""
    request = records.request_class("logs")()
    scope = request.resource_logs.add().scope_logs.add()
    for number, message in enumerate(messages):
        record = scope.log_records.add(time_unix_nano=time_ns + number)
        record.body.string_value = message
    payload: bytes = request.SerializeToString()
    return payload
