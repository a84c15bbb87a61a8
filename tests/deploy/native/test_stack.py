"""Starting and stopping, with small programs in the backends' place; tests/stack has the real ones."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.native import stack as stack_module
from deploy.native.programs import PROGRAMS, Program, StackError
from deploy.native.services import Ports, Recipe
from deploy.native.stack import Stack

SERVER = """
import http.server, os, sys
if os.path.exists("broken"):
    sys.exit("cannot read the configuration")
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def free_ports():
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return Ports(loki=one.getsockname()[1], prometheus=other.getsockname()[1])


def recipe(name, signal):
    def of(program, place):
        port = getattr(place.ports, name)
        takes, tells = f"{place.address(name)}/{signal}", {f"GLASSFORMER_{name.upper()}": place.address(name)}
        return Recipe([str(program), "-c", SERVER, str(port)], "/", {}, signal, takes, tells)

    return of


@pytest.fixture
def stack(tmp_path, monkeypatch):
    monkeypatch.setattr(
        stack_module, "SERVICES", {"loki": recipe("loki", "logs"), "prometheus": recipe("prometheus", "metrics")}
    )
    for name in ("loki", "prometheus"):
        monkeypatch.setitem(PROGRAMS, name, Program(name, "3", name, "x"))
    monkeypatch.setattr(Program, "path", lambda self, say: Path(sys.executable))
    made = Stack(tmp_path / "home", lambda message: None)
    yield made
    made.down()


def test_up_starts_services_and_writes_endpoints_and_down_undoes_both(stack):
    ports = free_ports()
    services = stack.up(ports)
    assert [service.name for service in services] == ["loki", "prometheus"]
    assert all(service.is_ready() for service in stack.services())
    lines = stack.environment_file.read_text().splitlines()[1:]
    assert lines == [
        f"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://127.0.0.1:{ports.loki}/logs",
        f"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://127.0.0.1:{ports.prometheus}/metrics",
        f"GLASSFORMER_LOKI=http://127.0.0.1:{ports.loki}",
        f"GLASSFORMER_PROMETHEUS=http://127.0.0.1:{ports.prometheus}",
    ]
    assert stack.up(ports) == services, "what runs is left as it is"
    assert stack.down() == ["loki", "prometheus"]
    assert [service.process for service in services] == [None, None]
    assert not stack.environment_file.exists()
    assert stack.services() == []
    assert stack.down() == []


def test_up_restarts_services_that_ended(stack):
    ports = free_ports()
    loki, prometheus = stack.up(ports)
    os.kill(loki.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(loki.pid)], timeout=5)
    again = {service.name: service for service in stack.up(ports)}
    assert again["loki"].pid != loki.pid
    assert again["prometheus"] == prometheus


def test_second_up_that_fails_leaves_what_runs_and_its_settings(stack):
    ports = free_ports()
    [loki] = stack.up(ports, only=("loki",))
    settings = stack.environment_file.read_text()
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.prometheus))
        other.listen()
        with pytest.raises(StackError, match=f"prometheus: port {ports.prometheus} is taken by another program"):
            stack.up(ports)
    (stack.home / "stack" / "broken").touch()
    with pytest.raises(StackError, match="prometheus ended while it started"):
        stack.up(ports)
    assert loki.is_ready()
    assert stack.services() == [loki]
    assert stack.environment_file.read_text() == settings
    (stack.home / "stack" / "broken").unlink()
    assert [service.name for service in stack.up(ports)] == ["loki", "prometheus"]


def test_server_of_ours_on_the_serving_port_is_left_as_it_is(stack, monkeypatch):
    monkeypatch.setitem(stack_module.SERVICES, "serving", recipe("serving", "traces"))
    monkeypatch.setitem(stack_module.OURS, "serving", Path(sys.executable))
    ports = replace(free_ports(), serving=free_ports().loki)
    said = []
    stack._say = said.append
    page = tuple(stack_module.SERVICES)
    server = Answering(ports.serving, b"# HELP\nglassformer_serving_ready 1.0\n")
    assert [service.name for service in stack.up(ports, page)] == ["loki", "prometheus"]
    assert said == [f"serving: `make serve` has port {ports.serving}: left out; what it serves is on the boards"]
    stack.down()
    server.page = b"another program"
    with pytest.raises(StackError, match=f"serving: port {ports.serving} is taken by another program"):
        stack.up(ports, page)
    server.close()


class Answering:
    """A server that answers every question with one page."""

    def __init__(self, port, page):
        self.page, outer = page, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(outer.page)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def test_down_does_not_stop_a_process_with_a_reused_pid(stack):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        stack.home.joinpath("stack").mkdir(parents=True)
        stack._keep([stack_module.Service("loki", other.pid, 1.0, "http://127.0.0.1:1", "/", "logs", "/")])
        assert stack.down() == []
        assert other.poll() is None
        other.kill()


def test_backend_failing_to_start_reports_why_and_leaves_nothing_running(stack):
    (stack.home / "stack").mkdir(parents=True)
    (stack.home / "stack" / "broken").touch()
    with pytest.raises(StackError, match=r"(?s)loki ended while it started.*cannot read the configuration"):
        stack.up(free_ports())
    assert stack.services() == []
    assert not stack.environment_file.exists()
