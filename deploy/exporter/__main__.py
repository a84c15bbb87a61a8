"""Serve state that outlives steps to Prometheus: MLflow's runs and registry, the outbox, the disk. And the runbooks of alerts.

examples:
  python -m deploy.exporter                        http://127.0.0.1:9464/metrics, /healthz, /readyz, /runbooks/ALERT
  python -m deploy.exporter --port 9500 --every 60

It reads the tracking store of MLFLOW_TRACKING_URI and the home of GLASSFORMER_HOME. MLflow away is a metric
(glassformer_mlflow_up 0), not an error. SIGTERM ends it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from artifacts.home import CHECKOUT, home
from command_line import Parser, fail
from deploy.exporter.collector import Exporter
from deploy.store import connect

if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    """Parse the command line and serve. Returns the exit code."""
    parser = Parser("python -m deploy.exporter", __doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=9464, help="default: 9464")
    parser.add_argument("--every", type=float, default=15.0, metavar="SECONDS", help="between collections; default: 15")
    options = parser.parse_args()
    exporter = Exporter(Path(home()), connect)
    try:
        server = serve(exporter, options.host, options.port)
    except OSError as error:
        return fail(f"{options.host}:{options.port}: {error.strerror}; give another --port", 1)
    ending = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    for target in (server.serve_forever, lambda: exporter.work(options.every, ending)):
        threading.Thread(target=target, daemon=True).start()  # a store that hangs must not keep us from ending
    print(f"http://{options.host}:{server.server_port}/metrics", flush=True)
    ending.wait()
    server.shutdown()
    return 0


def serve(exporter: Exporter, host: str, port: int) -> ThreadingHTTPServer:
    """A server that listens. OSError when it cannot."""
    answers: dict[str, Callable[[], tuple[int, bytes]]] = {
        "/metrics": lambda: (HTTPStatus.OK, exporter.page()),
        "/healthz": lambda: (HTTPStatus.OK, b"ok\n"),
        "/readyz": lambda: (
            (HTTPStatus.OK, b"ready\n")
            if exporter.ready
            else (HTTPStatus.SERVICE_UNAVAILABLE, b"not ready: nothing was collected yet\n")
        ),
    }
    pages = {f"/runbooks/{page.stem}": page.read_bytes() for page in (CHECKOUT / "docs" / "runbooks").glob("*.md")}

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # seconds; an idle connection holds a thread no longer

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in pages:
                code, body = HTTPStatus.OK.value, pages[path]
            elif path in answers:
                code, body = answers[path]()
            else:
                code, body = HTTPStatus.NOT_FOUND.value, b"there are /metrics, /healthz, /readyz and /runbooks/ALERT\n"
            self.send_response(code)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST if path == "/metrics" else "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return  # a line for each scrape is noise

    return ThreadingHTTPServer((host, port), Handler)


if __name__ == "__main__":
    sys.exit(main())
