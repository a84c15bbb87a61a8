"""`make stack` as a user has it: up, status, a second up, down; mistakes are one clear line."""

import socket
import subprocess
import sys
from dataclasses import fields

import pytest

from deploy.native.programs import PROGRAMS
from deploy.native.services import OURS, SERVICES, Ports
from tests.pipeline_home import ROOT, Home
from tests.stack.live import free_ports

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]


def native(home, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "deploy.native", *arguments],
        cwd=ROOT,
        env=home.environment,
        capture_output=True,
        text=True,
    )


def test_native_stack_starts_once_reports_status_and_stops(tmp_path):
    home = Home(tmp_path)
    ports = dict(zip(names := [field.name for field in fields(Ports)], free_ports(len(names)), strict=True))
    options = [f"--{name.replace('_', '-')}-port={port}" for name, port in ports.items()]
    assert native(home, "status").returncode == 1
    try:
        up = native(home, "up", *options)
        assert up.returncode == 0, up.stderr
        assert f"loki         http://127.0.0.1:{ports['loki']}  (logs)" in up.stdout
        assert f":{ports['prometheus']}/api/v1/otlp" in (home.state / "stack.env").read_text()
        before = (home.state / "stack" / "stack.json").read_text()
        assert native(home, "up", *options).returncode == 0
        assert (home.state / "stack" / "stack.json").read_text() == before, "what runs is not started again"
        status = native(home, "status")
        services = [n for n in SERVICES if n in OURS or PROGRAMS[n].module or PROGRAMS[n].on_path()]
        assert status.returncode == 0
        assert [line.split()[:2] for line in status.stdout.splitlines()] == [[name, "ready"] for name in services]
        assert f"http://127.0.0.1:{ports['loki']}/otlp/v1/logs" in home.run("status", module="telemetry")
    finally:
        down = native(home, "down")
    assert down.stdout == f"stopped {', '.join(services)}\n"
    assert home.processes() == []
    assert not (home.state / "stack.env").exists()
    assert native(home, "down").stdout == "nothing of ours ran\n"


def test_occupied_port_is_named_and_nothing_keeps_running(tmp_path):
    home = Home(tmp_path)
    loki, grpc, prometheus, alertmanager = free_ports(4)
    with socket.socket() as other:
        other.bind(("127.0.0.1", prometheus))
        other.listen()
        ports = {"loki": loki, "loki-grpc": grpc, "prometheus": prometheus, "alertmanager": alertmanager}
        up = native(home, "up", *(f"--{name}-port={port}" for name, port in ports.items()))
    assert up.returncode == 1
    assert f"prometheus: port {prometheus} is taken by another program; stop it, or give --prometheus-port" in up.stderr
    assert home.processes() == []
    assert not (home.state / "stack.env").exists()
