"""Start, watch and stop the native backends of one home.

<home>/stack/stack.json      what was started: process ids with their start times, addresses
<home>/stack/<service>/      its data;  <home>/stack/<service>.log  what it says
<home>/stack.env             the endpoints, which every command of ours on this home reads
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from artifacts import durable
from artifacts.home import CHECKOUT
from deploy.native.programs import PROGRAMS, StackError
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
    started: float  # of the process: a process id alone may be somebody else's by now
    address: str
    ready: str  # the path that answers 200 when it is ready
    signal: Signal | None = None  # what of our telemetry it takes
    endpoint: str = ""  # and where

    @property
    def process(self) -> psutil.Process | None:
        """Its process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if same else None

    def is_ready(self) -> bool:
        """Whether it answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of our loopback
        try:
            with opener.open(f"{self.address}{self.ready}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError, ValueError):
            return False


@dataclass(frozen=True)
class Ports:
    """Where the backends listen, on 127.0.0.1."""

    loki: int = 3100
    loki_grpc: int = 9095
    prometheus: int = 9090
    tempo: int = 3200
    tempo_otlp: int = 4318
    tempo_grpc: int = 9096
    alertmanager: int = 9093
    exporter: int = 9464


class Stack:
    """The backends of one home."""

    def __init__(self, home: Path, say: Say) -> None:
        self.home, self._say = home, say
        self._folder = home / "stack"
        self._children: list[subprocess.Popen[bytes]] = []  # they outlive us, unless we stop them ourselves

    @property
    def environment_file(self) -> Path:
        """What `telemetry/endpoints.py` reads."""
        return self.home / "stack.env"

    def services(self) -> list[Service]:
        """What was started last."""
        try:
            return [Service(**entry) for entry in durable.read_json(self._folder / "stack.json")]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def up(self, ports: Ports) -> list[Service]:
        """Start what does not run, and wait until all of it is ready. StackError when something does not come up."""
        running = {service.name: service for service in self.services() if service.process}
        self._folder.mkdir(parents=True, exist_ok=True)
        starts = {
            "loki": self._loki, "prometheus": self._prometheus, "tempo": self._tempo, "alertmanager": self._alertmanager,
            "exporter": self._exporter,
        }  # fmt: skip
        paths = self._programs([name for name in starts if name != "exporter"]) | {"exporter": Path(sys.executable)}
        try:
            for name, program in paths.items():
                if name not in running:
                    running[name] = starts[name](program, ports)
                    self._keep(list(running.values()))
            for service in running.values():
                self._wait_until_ready(service)
        except StackError:
            self.down()
            raise
        lines = [f"{variable_of(s.signal)}={s.endpoint}\n" for s in running.values() if s.signal]
        note = "# Written by `make stack`, removed by `make stack-down`. What the environment sets goes before it.\n"
        durable.write_text(self.environment_file, note + "".join(lines))
        return list(running.values())

    def down(self) -> list[str]:
        """Stop exactly what was started; the names of what ran. Data and logs stay."""
        self.environment_file.unlink(missing_ok=True)
        found = [(service, process) for service in self.services() if (process := service.process)]
        for _, process in found:
            process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([process for _, process in found], timeout=_STOP_SECONDS)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)
        for child in self._children:
            child.poll()
        shutil.rmtree(self._folder / "prometheus.d", ignore_errors=True)
        (self._folder / "stack.json").unlink(missing_ok=True)
        return [service.name for service, _ in found]

    def _keep(self, services: list[Service]) -> None:
        durable.write_json(self._folder / "stack.json", [asdict(service) for service in services])

    def _programs(self, names: list[str]) -> dict[str, Path]:
        """Where each is. What can neither be found nor built is left out with a line that says so."""
        found = {}
        for name in names:
            program = PROGRAMS[name]
            if program.module or program.on_path():
                found[name] = program.path(self._say)
            else:
                self._say(f"{name}: version {program.major} is not on PATH: left out")
        return found

    def _loki(self, program: Path, ports: Ports) -> Service:
        data = self._folder / "loki"
        data.mkdir(exist_ok=True)
        environment = {
            "LOKI_ADDRESS": "127.0.0.1", "LOKI_PORT": str(ports.loki), "LOKI_GRPC_PORT": str(ports.loki_grpc),
            "LOKI_DATA": str(data), "LOKI_RULES": str(CHECKOUT / "loki" / "rules"),
            "LOKI_ALERTMANAGER": f"http://127.0.0.1:{ports.alertmanager}",
        }  # fmt: skip
        command = [str(program), f"-config.file={CHECKOUT / 'loki' / 'loki.yaml'}", "-config.expand-env=true"]
        return self._start("loki", command, environment, ports.loki, "/ready", "logs", f":{ports.loki}/otlp/v1/logs")

    def _prometheus(self, program: Path, ports: Ports) -> Service:
        address = f"127.0.0.1:{ports.prometheus}"
        command = [
            str(program), f"--config.file={self._prometheus_configuration(ports)}", f"--web.listen-address={address}",
            f"--storage.tsdb.path={self._folder / 'prometheus'}", "--storage.tsdb.retention.time=31d",
            "--web.enable-otlp-receiver", "--enable-feature=exemplar-storage", "--log.level=warn",
        ]  # fmt: skip
        return self._start(
            "prometheus",
            command,
            {},
            ports.prometheus,
            "/-/ready",
            "metrics",
            f":{ports.prometheus}/api/v1/otlp/v1/metrics",
        )

    def _prometheus_configuration(self, ports: Ports) -> Path:
        """The very files of the repository, beside targets of this machine."""
        folder = self._folder / "prometheus.d"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "targets").mkdir(parents=True)
        for name in ("prometheus.yml", "rules"):
            (folder / name).symlink_to(CHECKOUT / "prometheus" / name)
        for name in ("prometheus", "loki", "tempo", "alertmanager", "exporter"):
            if name != "tempo" or PROGRAMS[name].on_path():
                target = f'- targets: ["127.0.0.1:{getattr(ports, name)}"]\n'
                durable.write_text(folder / "targets" / f"{name}.yml", target)
        return folder / "prometheus.yml"

    def _alertmanager(self, program: Path, ports: Ports) -> Service:
        data = self._folder / "alertmanager"
        own = self.home / "alertmanager.yml"  # who is to be told is the user's to say
        command = [
            str(program), f"--config.file={own if own.exists() else CHECKOUT / 'prometheus' / 'alertmanager.yml'}",
            f"--storage.path={data}", f"--web.listen-address=127.0.0.1:{ports.alertmanager}",
            "--cluster.listen-address=", "--data.retention=744h", "--log.level=warn",
        ]  # fmt: skip
        return self._start("alertmanager", command, {}, ports.alertmanager, "/-/ready")

    def _exporter(self, program: Path, ports: Ports) -> Service:
        environment = {"GLASSFORMER_HOME": str(self.home), "PYTHONPATH": str(CHECKOUT)}
        command = [str(program), "-m", "deploy.exporter", f"--port={ports.exporter}"]
        return self._start("exporter", command, environment, ports.exporter, "/readyz", cwd=CHECKOUT)

    def _tempo(self, program: Path, ports: Ports) -> Service:
        data = self._folder / "tempo"
        data.mkdir(exist_ok=True)
        environment = {
            "TEMPO_ADDRESS": "127.0.0.1", "TEMPO_PORT": str(ports.tempo), "TEMPO_OTLP_PORT": str(ports.tempo_otlp),
            "TEMPO_GRPC_PORT": str(ports.tempo_grpc), "TEMPO_DATA": str(data),
        }  # fmt: skip
        command = [str(program), f"-config.file={CHECKOUT / 'tempo' / 'tempo.yaml'}", "-config.expand-env=true"]
        takes = f":{ports.tempo_otlp}/v1/traces"
        return self._start("tempo", command, environment, ports.tempo, "/ready", "traces", takes)

    def _start(
        self, name: str, command: list[str], environment: Mapping[str, str], port: int, ready: str,
        takes: Signal | None = None, endpoint: str = "", cwd: Path | None = None,
    ) -> Service:  # fmt: skip
        if _is_taken(port):
            raise StackError(f"{name}: port {port} is taken by another program; stop it, or give --{name}-port")
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=cwd or self._folder, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._children.append(process)
        started = psutil.Process(process.pid).create_time()
        host = "http://127.0.0.1"
        return Service(name, process.pid, started, f"{host}:{port}", ready, takes, host + endpoint if takes else "")

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
            one.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
