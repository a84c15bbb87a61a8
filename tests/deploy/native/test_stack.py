"""Starting and stopping, with small programs in the backends' place; tests/stack has the real ones."""

import os
import signal
import socket
import subprocess
import sys
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
