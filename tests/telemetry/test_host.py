"""Figures and attributes of the machine: read beside a process's own, by OpenTelemetry's names."""

import socket
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from telemetry import host
from telemetry.host import Host
from telemetry.names import is_known
from tests.telemetry.outbox_records import attributes, open_observe, points, resources

Times = namedtuple("Times", "user nice system idle iowait guest")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine of two cores with a load of 38, whose CPU times can be changed."""
    found = SimpleNamespace(cpu=Times(user=100.0, nice=0.0, system=10.0, idle=890.0, iowait=0.0, guest=50.0))
    monkeypatch.setattr(psutil, "cpu_times", lambda: found.cpu)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (38.0, 20.0, 10.0))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=8000, available=6000, used=1))
    monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(total=500, free=120))
    return found


def test_figures_are_those_of_the_machine_in_registered_units(machine: SimpleNamespace, tmp_path: Path) -> None:
    read = Host(tmp_path)
    machine.cpu = Times(user=106.0, nice=0.0, system=12.0, idle=901.0, iowait=1.0, guest=56.0)
    found = read.read()
    assert found == {
        "system.cpu.utilization": pytest.approx(8 / 20),
        "system.cpu.logical.count": 2,
        "system.cpu.load_average.1m": 38.0,
        "system.memory.usage": 2000,
        "system.memory.limit": 8000,
        "system.filesystem.usage": 120,
        "system.filesystem.limit": 500,
    }
    assert all(is_known(name, "gauge") for name in found)


def test_cpu_utilization_is_that_since_the_last_reading(machine: SimpleNamespace, tmp_path: Path) -> None:
    read = Host(tmp_path)
    assert read.read()["system.cpu.utilization"] == 0.0, "no time has passed"
    machine.cpu = machine.cpu._replace(user=105.0, idle=895.0)
    assert read.read()["system.cpu.utilization"] == pytest.approx(0.5)
    machine.cpu = machine.cpu._replace(idle=905.0)
    assert read.read()["system.cpu.utilization"] == 0.0


def test_home_that_was_moved_away_has_no_disk_figures(tmp_path: Path) -> None:
    found = Host(tmp_path / "gone").read()
    assert "system.memory.usage" in found
    assert not [name for name in found if name.startswith("system.filesystem.")]


def test_attributes_name_the_architecture_as_the_conventions_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    assert host.attributes()["host.arch"] == "amd64"
    monkeypatch.setattr(host.platform, "machine", lambda: "riscv64")
    assert host.attributes()["host.arch"] == "riscv64"


def test_every_signal_names_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    _record(tmp_path)
    for found in resources(tmp_path):
        assert found["host.name"] == socket.gethostname()
        assert {"host.arch", "os.type"} <= set(found)


def test_host_name_of_the_environment_takes_the_place_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=rack-7,service.instance.id=theirs")
    _record(tmp_path)
    for found in resources(tmp_path):
        assert found["host.name"] == "rack-7"
        assert found["service.instance.id"] != "theirs", "ours tells processes apart"


def test_machine_figures_are_written_with_the_state_they_are_of(tmp_path: Path) -> None:
    _record(tmp_path)
    read = {name: list(metric.gauge.data_points) for name, metric in points(tmp_path).items() if "system." in name}
    assert len(read) == 7
    (memory,), (disk,), (cpus,) = (
        read[name] for name in ("system.memory.usage", "system.filesystem.usage", "system.cpu.logical.count")
    )
    assert attributes(memory) == {"system.memory.state": "used"}
    assert attributes(disk) == {"system.filesystem.state": "free"}
    assert attributes(cpus) == {}
    assert memory.as_int > 10_000_000
    assert disk.as_int > 0


def _record(folder: Path) -> None:
    observe = open_observe(folder)
    with observe.span("step"):
        observe.log("step.started", "hello")
    observe.close()
