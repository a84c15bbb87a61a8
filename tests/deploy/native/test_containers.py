"""The stack in Docker, with a `docker` of our own in its place that records its calls and remembers what runs."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from artifacts.home import CHECKOUT
from deploy.native import __main__ as program
from deploy.native import containers
from deploy.native.stack import Stack

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = ["grafana", "loki", "postgres"]
DOCKER = f"""#!{sys.executable}
import json, os, pathlib, sys
here, words = pathlib.Path(__file__).parent, sys.argv[1:]
with (here / "calls").open("a") as calls:
    print(*words, file=calls)
def is_told(name):
    return (here / name).exists()
running = here / "running"
def names():
    return running.read_text().split() if running.exists() else []
if words == ["info"]:
    if is_told("no-engine"):
        print("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", file=sys.stderr)
    sys.exit(int(is_told("no-engine") and not is_told("exits-0")))
if is_told("no-compose") and words[0] == "compose":
    sys.exit("docker: unknown command: docker compose")
if words[1] == "up":
    (here / "home").write_text(os.environ["GLASSFORMER_HOME"])
    running.write_text(" ".join(sorted(set(names()) | set({SERVICES}))))
    if is_told("fails"):
        sys.exit("container glassformer-loki-1 is unhealthy")
if words[1] == "ps":
    rows = [{{"Service": name, "State": "running", "Health": "unhealthy" if is_told(f"sick-{{name}}") else "healthy"}} for name in names()]
    print(json.dumps(rows) if is_told("old") else "\\n".join(map(json.dumps, rows)))
if words[1] == "down":
    running.unlink()
if words[1] == "rm":
    running.write_text(" ".join(set(names()) - set(words)))
"""


class Fake:
    def __init__(self, folder):
        self.folder = folder

    def tell(self, *names):
        for name in names:
            (self.folder / name).touch()

    @property
    def calls(self):
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def running(self):
        file = self.folder / "running"
        return sorted(file.read_text().split()) if file.exists() else []


@pytest.fixture
def docker(tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "docker"
    fake.parent.mkdir()
    fake.write_text(DOCKER)
    fake.chmod(0o755)
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".env").touch()
    monkeypatch.setattr(containers, "FILE", tmp_path / "checkout" / ".env")
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(containers.VARIABLE, raising=False)
    return Fake(fake.parent)


@pytest.fixture
def native(monkeypatch):
    """The native stack, which only notes what was asked of it."""
    asked = []
    monkeypatch.setattr(Stack, "up", lambda self, ports: asked.append("up") or [])
    monkeypatch.setattr(Stack, "down", lambda self: asked.append("down") or [])
    return asked


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["deploy.native", *arguments])
        code = program.main()
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


@pytest.mark.parametrize("version", [(), ("old",)])
def test_up_status_and_down_use_docker_compose(docker, native, run, tmp_path, version):
    docker.tell(*version)
    code, told = run("up")
    assert code == 0
    assert "http://127.0.0.1:3000" in told
    assert "compose up --detach --wait" in docker.calls
    assert (docker.folder / "home").read_text() == str(tmp_path / "home")
    assert (tmp_path / "home" / "stack.env").read_text().splitlines()[1:] == [
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://127.0.0.1:3100/otlp/v1/logs",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4318/v1/traces",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://127.0.0.1:9090/api/v1/otlp/v1/metrics",
        "MLFLOW_TRACKING_URI=http://127.0.0.1:5000",
        "GLASSFORMER_MLFLOW_URL=http://127.0.0.1:5000",
        "GLASSFORMER_GRAFANA_URL=http://127.0.0.1:3000",
        "GLASSFORMER_TEMPO_URL=http://127.0.0.1:3200",
        "GLASSFORMER_EXPORTER_URL=http://127.0.0.1:9464",
    ]
    assert run("status") == (0, "".join(f"{name:12} healthy\n" for name in SERVICES))
    docker.tell("sick-loki")
    assert run("status")[0] == 1
    assert run("down") == (0, "stopped grafana, loki, postgres\n")
    assert docker.calls[-1] == "compose down", "without --volumes: the data stays"
    assert not (tmp_path / "home" / "stack.env").exists()
    assert run("status") == (1, "nothing runs; `make stack` starts it\n")
    assert native == []


def test_down_keeps_services_started_before_up(docker, native, run):
    (docker.folder / "running").write_text("postgres")
    assert run("up")[0] == 0
    assert run("up")[0] == 0, "again: what is ours stays ours"
    run("down")
    assert docker.running == ["postgres"]
    assert "compose down" not in docker.calls


@pytest.mark.parametrize("told", [("no-engine",), ("no-engine", "exits-0"), ("no-compose",)])
def test_up_falls_back_to_native_without_docker_engine_or_compose(docker, native, run, told):
    docker.tell(*told)
    assert run("up")[0] == 0
    assert native == ["up"]
    assert run("down")[0] == 0
    assert native == ["up", "down"]
    assert "compose up --detach --wait" not in docker.calls


def test_native_or_docker_can_be_forced(docker, native, run, monkeypatch):
    assert run("up", "--native")[0] == 0
    assert run("up", "--loki-port", "3101")[0] == 0
    monkeypatch.setenv(containers.VARIABLE, "native")
    assert run("up")[0] == 0
    assert native == ["up"] * 3
    assert docker.calls == []
    monkeypatch.setenv(containers.VARIABLE, "docker")
    docker.tell("no-engine")
    code, told = run("up")
    assert (code, native) == (1, ["up"] * 3)
    assert "no Docker engine answers" in told
    monkeypatch.setenv(containers.VARIABLE, "podman")
    assert "there are native and docker" in run("up")[1]


def test_up_without_secrets_starts_nothing_and_suggests_make_secrets(docker, native, run, tmp_path):
    (tmp_path / "checkout" / ".env").unlink()
    code, told = run("up")
    assert code == 1
    assert "`make secrets` writes it" in told
    assert "compose up --detach --wait" not in docker.calls
    assert native == []


def test_failed_up_stops_newly_started_services(docker, native, run, tmp_path):
    (docker.folder / "running").write_text("grafana")
    docker.tell("fails")
    code, told = run("up")
    assert code == 1
    assert "docker compose up failed (exit 1, see above)" in told
    assert docker.running == ["grafana"]
    assert not (tmp_path / "home" / "stack.env").exists()
    assert not (tmp_path / "home" / "stack" / "containers.json").exists()


def test_lost_docker_engine_is_reported_and_the_stack_state_is_kept(docker, native, run, tmp_path):
    run("up")
    docker.tell("no-engine")
    for command in ("status", "down", "up"):
        code, told = run(command)
        assert code == 1
        assert "no Docker engine answers" in told
    assert run("up", "--native") == (1, "the stack runs in Docker; `make stack-down` first\n")
    (docker.folder / "no-engine").unlink()
    assert run("down")[0] == 0
    assert not (tmp_path / "home" / "stack" / "containers.json").exists()


def test_ports_match_those_published_by_compose():
    published = {port.split(":")[1] for service in COMPOSE["services"].values() for port in service.get("ports", [])}
    for path in containers._TAKES.values():
        assert re.match(r":(\d+)/", path)[1] in published
    for name, port in containers._PAGES.items():
        assert f"127.0.0.1:{port}:{port}" in COMPOSE["services"][name]["ports"]


def test_status_command_reports_that_nothing_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "deploy.native", "status"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        env=os.environ | {"GLASSFORMER_HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (1, "nothing runs; `make stack` starts it\n")
