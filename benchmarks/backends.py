"""Backends for benchmarks: live ones on ports of their own, closed ports, and sockets that never answer."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from deploy.native.stack import Ports, Stack
from telemetry import records
from telemetry.endpoints import variable_of
from telemetry.segments import SIGNALS, Signal

BACKENDS = (
    "loki",
    "prometheus",
    "tempo",
)  # no others: MLflow's page and the exporter would compete with the measured processes
PATHS: dict[Signal, str] = {"logs": "/otlp/v1/logs", "traces": "/v1/traces", "metrics": "/api/v1/otlp/v1/metrics"}


@dataclass(frozen=True)
class Live:
    """Addresses of the live backends by name, and the environment that sends telemetry there."""

    addresses: Mapping[str, str]
    environment: Mapping[str, str]
    processes: Mapping[str, int]


@contextmanager
def live() -> Iterator[Live]:
    """Loki, Prometheus and, where it is on PATH, Tempo, with our own configuration and no data; stopped at the end.

    Without Tempo, a receiver that reads and discards every span takes its place.
    """
    folder = Path(tempfile.mkdtemp(prefix="glassformer-stack-"))
    stack = Stack(folder, lambda text: print(f"  {text}", flush=True))
    try:
        services = {service.name: service for service in stack.up(Ports(*free_ports(len(fields(Ports)))), BACKENDS)}
        environment = {variable_of(s.signal): s.endpoint for s in services.values() if s.signal}
        with contextlib.ExitStack() as open_until_the_end:
            if "tempo" not in services:
                address = open_until_the_end.enter_context(reader())
                environment[variable_of("traces")] = address + PATHS["traces"]
            yield Live(
                {name: service.address for name, service in services.items()},
                environment,
                {name: service.pid for name, service in services.items()},
            )
    finally:
        stack.down()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reader() -> Iterator[str]:
    """The address of a receiver that decodes every OTLP request and answers that it is stored."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            signal = next(signal for signal in SIGNALS if PATHS[signal] == self.path)
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            whole = records.count(signal, body) > 0
            self.send_response(200 if whole else 400)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def refusing() -> Iterator[Mapping[str, str]]:
    """Every backend's port is closed."""
    port = free_ports(1)[0]
    yield {variable_of(signal): f"http://127.0.0.1:{port}{PATHS[signal]}" for signal in SIGNALS}


@contextmanager
def blackhole() -> Iterator[Mapping[str, str]]:
    """Logs and metrics reach a socket that takes a connection and never answers, spans one that takes none either."""
    with socket.socket() as silent, socket.socket() as full, contextlib.ExitStack() as waiting:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)  # the system takes connections and bytes; they are never read
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # fill the queue of connections, which are never accepted: the next one waits
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(full.getsockname())
        ports: dict[Signal, int] = {
            "logs": silent.getsockname()[1],
            "traces": full.getsockname()[1],
            "metrics": silent.getsockname()[1],
        }
        yield {variable_of(signal): f"http://127.0.0.1:{ports[signal]}{PATHS[signal]}" for signal in SIGNALS}


def free_ports(count: int) -> list[int]:
    """Free ports of this machine."""
    with contextlib.ExitStack() as open_until_the_end:
        sockets = [open_until_the_end.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
