"""Start, watch and stop the native backends of one home.

<home>/stack/stack.json      what was started: process ids with their start times, addresses
<home>/stack/<service>/      its data;  <home>/stack/<service>.log  its output
<home>/stack.env             endpoints and addresses, which every command of ours on this home reads

What each is started with: `deploy/native/services.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from artifacts import atomic
from artifacts.home import base
from artifacts.runs import started_at
from deploy.native.programs import PROGRAMS, StackError
from deploy.native.services import LOOPBACK, OURS, SERVICES, Place, Ports, Recipe
from redaction import redact
from telemetry.endpoints import variable_of
from telemetry.segments import Signal

_READY_SECONDS = 90.0
_STOP_SECONDS = 20.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """One backend that runs."""

    name: str
    pid: int
    started: float  # of the process: its id may have been reused
    address: str
    ready: str  # the path that answers 200 when it is ready
    signal: Signal | None = None  # what of our telemetry it takes
    endpoint: str = ""  # and where
    tells: dict[str, str] = field(default_factory=dict)  # variables with its address for our commands

    @property
    def process(self) -> psutil.Process | None:
        """Its process, or None when it has ended."""
        try:
            return psutil.Process(self.pid) if started_at(self.pid) == self.started else None
        except psutil.Error:
            return None

    def is_ready(self) -> bool:
        """Whether it answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of our loopback
        try:
            with opener.open(f"{self.address}{self.ready}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError, ValueError):
            return False


class Stack:
    """The backends of one home. They get `environment`, by default ours."""

    def __init__(self, home: Path, say: Say, environment: Mapping[str, str] = os.environ) -> None:
        self.home, self._say, self._environment = home, say, environment
        self._folder = home / "stack"
        self._children: list[subprocess.Popen[bytes]] = []  # they outlive us, unless we stop them ourselves

    @property
    def environment_file(self) -> Path:
        """The file that `telemetry/endpoints.py` reads."""
        return self.home / "stack.env"

    def services(self) -> list[Service]:
        """The services started last."""
        try:
            return [Service(**entry) for entry in atomic.read_json(self._folder / "stack.json")]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def up(self, ports: Ports, only: Collection[str] = tuple(SERVICES)) -> list[Service]:
        """Start what does not run, and wait until all of it is ready.

        StackError when something does not come up: then what was started here is stopped again, and what ran before goes on.
        """
        before = {service.name: service for service in self.services() if service.process}
        running = dict(before)
        self._folder.mkdir(parents=True, exist_ok=True)
        place = Place(self.home, ports, self._environment)
        try:
            for name, program in self._programs(
                [name for name in SERVICES if name in only and name not in before]
            ).items():
                if self._is_needed(name, ports):
                    running[name] = self._start(name, SERVICES[name](program, place), getattr(ports, name))
                    self._keep(list(running.values()))
            for service in running.values():
                self._wait_until_ready(service)
        except StackError:
            if before:
                self._stop([service for name, service in running.items() if name not in before])
                self._keep(list(before.values()))
            else:
                self.down()
            raise
        variables = {variable_of(s.signal): s.endpoint for s in running.values() if s.signal}
        for service in running.values():
            variables |= service.tells
        note = "# Written by `make stack`, removed by `make stack-down`. What the environment sets goes before it.\n"
        atomic.write_text(
            self.environment_file, note + "".join(f"{name}={value}\n" for name, value in variables.items())
        )
        return list(running.values())

    def down(self) -> list[str]:
        """Stop exactly the services that were started and return their names. Data and logs stay."""
        self.environment_file.unlink(missing_ok=True)
        stopped = self._stop(self.services())
        for copied in ("prometheus.d", "loki.d"):
            shutil.rmtree(self._folder / copied, ignore_errors=True)
        (self._folder / "stack.json").unlink(missing_ok=True)
        return stopped

    def _stop(self, services: list[Service]) -> list[str]:
        found = [(service, process) for service in services if (process := service.process)]
        for _, process in found:
            process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([process for _, process in found], timeout=_STOP_SECONDS)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)
        for child in self._children:
            child.poll()
        return [service.name for service, _ in found]

    def _keep(self, services: list[Service]) -> None:
        atomic.write_json(self._folder / "stack.json", [asdict(service) for service in services])

    def _programs(self, names: list[str]) -> dict[str, Path]:
        """The path of each program. A program that can neither be found nor built is left out with a message."""
        programs = {}
        for name in names:
            if name == "mlflow" and (server := self._environment.get("MLFLOW_TRACKING_URI", "")).startswith("http"):
                self._say(f"mlflow: runs go to the server at {redact(server)}: left out")
            elif name in OURS:
                programs[name] = OURS[name]
            elif (program := PROGRAMS[name]).module or program.on_path():
                programs[name] = program.path(self._say)
            else:
                self._say(f"{name}: version {program.major} is not on PATH: left out")
        return programs

    def _is_needed(self, name: str, ports: Ports) -> bool:
        """Whether to start it: a server of ours that already listens there is left as it is, and is watched."""
        port = getattr(ports, name)
        if name != "serving" or not _is_taken(port) or not _is_our_server(port):
            return True
        self._say(f"serving: `make serve` has port {port}: left out; what it serves is on the boards")
        return False

    def _start(self, name: str, recipe: Recipe, port: int) -> Service:
        if _is_taken(port):
            raise StackError(f"{name}: port {port} is taken by another program; stop it, or give --{name}-port")
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                recipe.command,
                cwd=base() if name in OURS else self._folder,
                env={**self._environment, **recipe.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(process)
        started = started_at(process.pid) or 0.0
        return Service(
            name, process.pid, started, f"http://{LOOPBACK}:{port}", recipe.ready, recipe.signal, recipe.endpoint,
            dict(recipe.tells),
        )  # fmt: skip

    def _wait_until_ready(self, service: Service) -> None:
        until = time.monotonic() + _READY_SECONDS
        log = self._folder / f"{service.name}.log"
        while not service.is_ready():
            if service.process is None:
                raise StackError(f"{service.name} ended while it started; {log} says:\n{_last_lines(log)}")
            if time.monotonic() > until:
                raise StackError(
                    f"{service.name} is not ready after {_READY_SECONDS:.0f} s; {log} says:\n{_last_lines(log)}"
                )
            time.sleep(0.2)


def _is_taken(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that lingers takes nothing
        try:
            one.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _is_our_server(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{LOOPBACK}:{port}/metrics", timeout=2) as answer:
            return b"\nglassformer_serving_ready " in answer.read()
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
