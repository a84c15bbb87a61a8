"""An OTLP receiver over gRPC on this machine, whose answers a test writes; and a wire to it that a test can cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from telemetry import records
from telemetry.segments import SIGNALS, Signal


@dataclass
class Reply:
    """One answer: a body, or an error of this code. `retry_after` goes with it as RetryInfo."""

    code: str = "OK"
    words: str = ""
    body: bytes = b""
    retry_after: float | None = None
    after: float = 0.0  # seconds


Answers = Callable[[Signal, Any], Reply]


class GrpcReceiver(grpc.GenericRpcHandler):  # type: ignore[misc, unused-ignore]
    """Requests by signal, with the answer that `answers(signal, request)` gives to each; those answered OK are in `taken`."""

    def __init__(self, answers: Answers | None = None, credentials: Any = None) -> None:
        self.answers: Answers = answers or (lambda signal, request: Reply())
        self.taken: dict[Signal, list[bytes]] = {"logs": [], "traces": [], "metrics": []}
        self.metadata: list[dict[str, str]] = []
        self._signals = {records.export_method(signal): signal for signal in SIGNALS}
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool)
        self._server.add_generic_rpc_handlers((self,))
        here = "127.0.0.1:0"
        self.port = (
            self._server.add_secure_port(here, credentials) if credentials else self._server.add_insecure_port(here)
        )
        self._server.start()

    def service(self, details: Any) -> Any:
        """The handler of a method; of none but the three that OTLP has."""
        signal = self._signals.get(details.method)
        if signal is None:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._answer(signal, request, context))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make every signal go here."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        }

    def close(self) -> None:
        self._server.stop(None).wait()
        self._pool.shutdown()

    def __enter__(self) -> GrpcReceiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, signal: Signal, payload: bytes, context: Any) -> bytes:
        self.metadata.append(dict(context.invocation_metadata()))
        reply = self.answers(signal, records.request_class(signal).FromString(payload))
        time.sleep(reply.after)
        if reply.code == "OK":
            self.taken[signal].append(payload)
            return reply.body
        if reply.retry_after is not None:
            status = status_pb2.Status(code=code_pb2.Code.Value(reply.code), message=reply.words)
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromMilliseconds(int(1000 * reply.retry_after))
            status.details.add().Pack(info)
            context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        context.abort(grpc.StatusCode[reply.code], reply.words)
        raise AssertionError("abort raises")


class Wire:
    """A connection to a port through this process: it counts the bytes that go there, and can be cut."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._to, self._ends = port, list[socket.socket]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if source is self._ends[0]:
                    self.sent += len(data)
                target.sendall(data)
