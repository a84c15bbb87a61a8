"""Health checks of others while one client sends heavy bodies without a pause: each kind of `tests/deploy/serving/heavy.py` in turn.

    python -m benchmarks.abuse [--model glassformer-docs] [--alias champion] [--seconds 3]

It needs a version of the model in this store (`make run`). The server, the sender and the client that asks /healthz are processes
of their own, so none waits for another's interpreter.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.backends import free_ports
from benchmarks.results import keep
from benchmarks.serving import start
from tests.deploy.serving.heavy import BODIES

_PAUSE = 0.005  # seconds between health checks


def main() -> None:
    """Measure, and keep the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", default="glassformer-docs")
    parser.add_argument("--alias", default="champion")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each kind of body")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(options.port, options.send)
    elif options.check:
        print(json.dumps(check(options.port, options.seconds)))
    else:
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """The longest health check during each kind of body."""
    [port] = free_ports(1)
    server = [sys.executable, "-m", "deploy.serving", options.model, "--alias", options.alias, "--port", str(port)]
    longest: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as work, start(server, Path(work) / "log", f"http://127.0.0.1:{port}/readyz"):
        for name in BODIES:
            again = [sys.executable, "-m", "benchmarks.abuse", "--port", str(port)]
            sender = subprocess.Popen([*again, "--send", name])
            try:
                command = [*again, "--check", "--seconds", str(options.seconds)]
                waits: list[float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            finally:
                sender.kill()
                sender.wait()
            waits.sort()
            longest[name] = waits[-1]
            middle = 1000 * waits[len(waits) // 2]
            print(
                f"  {name}: {len(waits)} checks, median {middle:.1f} ms, longest {1000 * waits[-1]:.1f} ms", flush=True
            )
    worst = max(longest, key=lambda name: longest[name])
    what = f"longest health check while one client sends heavy bodies without a pause, of {len(BODIES)} kinds ({worst})"
    value = round(1000 * longest[worst], 1)
    figure = {"what": what, "value": value, "unit": "ms", "bar": "at most 100", "ok": value <= 100}
    keep("abuse", "python -m benchmarks.abuse", [figure])


def send(port: int, name: str) -> None:
    """Send a heavy body again and again, until killed."""
    path, kind, body = BODIES[name]
    while True:
        with suppress(OSError, http.client.HTTPException):  # refused before it was sent to its end
            _ask(port, "POST", path, body, {"content-type": kind})


def check(port: int, seconds: float) -> list[float]:
    """Seconds that each health check took."""
    waits, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        assert _ask(port, "GET", "/healthz") == 200
        waits.append(time.perf_counter() - began)
        time.sleep(_PAUSE)
    return waits


def _ask(port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        reply.read()
        return reply.status
    finally:
        connection.close()


if __name__ == "__main__":
    main()
