"""Serve state that outlives steps to Prometheus: MLflow's runs and registry, the outbox, the disk. And what alerts and
spans link to: runbooks, flame graphs.

examples:
  python -m deploy.exporter                        http://127.0.0.1:9464/metrics, /healthz, /readyz,
                                                   /runbooks/ALERT, /profiles/RUN/NODE/NAME.svg
  python -m deploy.exporter --port 9500 --every 60

It reads the tracking store of MLFLOW_TRACKING_URI and the home of GLASSFORMER_HOME. MLflow away is a metric
(glassformer_mlflow_up 0), not an error. SIGTERM ends it.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from artifacts.home import CHECKOUT, home
from command_line import Parser, fail
from deploy.exporter.collector import Exporter
from deploy.store import connect

if TYPE_CHECKING:
    from types import FrameType

_TEXT = "text/plain; charset=utf-8"
_THERE_ARE = b"there are /metrics, /healthz, /readyz, /runbooks/ALERT and /profiles/RUN/NODE/NAME.svg\n"
_PART = r"(\w[\w.-]*)"  # no folder above, nothing hidden
_PROFILE = re.compile(rf"/profiles/{_PART}/{_PART}/(\w[\w.-]*\.(?:svg|folded))")
_NO_GRAPH = (
    b"no such flame graph: it is drawn when its minute of samples has ended, of slow intervals the 20 slowest keep theirs, and "
    b"the run must be in this exporter's home\n"
)


def main() -> int:
    """Parse the command line and serve. Returns the exit code."""
    parser = Parser("python -m deploy.exporter", __doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=9464, help="default: 9464")
    parser.add_argument("--every", type=float, default=15.0, metavar="SECONDS", help="between collections; default: 15")
    options = parser.parse_args()
    exporter = Exporter(Path(home()), connect)
    try:
        server = serve(exporter, Path(home()), options.host, options.port)
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


def serve(exporter: Exporter, root: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server that listens, of the home `root`. OSError when it cannot."""
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
            path, kind = self.path.partition("?")[0], _TEXT
            if path in pages:
                code, body = HTTPStatus.OK.value, pages[path]
            elif path in answers:
                code, body = answers[path]()
                kind = CONTENT_TYPE_LATEST if path == "/metrics" else kind
            elif path.startswith("/profiles/"):
                code, body, kind = flame_graph(root, path)
            else:
                code, body = HTTPStatus.NOT_FOUND.value, _THERE_ARE
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", "default-src 'none'")  # a picture runs nothing
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return  # a line for each scrape is noise

    return ThreadingHTTPServer((host, port), Handler)


def flame_graph(root: Path, path: str) -> tuple[int, bytes, str]:
    """Status, body and type of an answer to /profiles/RUN/NODE/NAME.svg, or NAME.folded."""
    found = _PROFILE.fullmatch(unquote(path))
    if found:
        run, node, name = found.groups()
        file = root / "runs" / run / "profiles" / node / name
        try:
            return HTTPStatus.OK, file.read_bytes(), "image/svg+xml" if file.suffix == ".svg" else _TEXT
        except OSError:
            pass
    return HTTPStatus.NOT_FOUND, _NO_GRAPH, _TEXT


if __name__ == "__main__":
    sys.exit(main())
