"""The same stack in Docker, by docker-compose.yml, if an engine answers: `make stack` tries this first.

<home>/stack/containers.json    what was started, so that `make stack-down` stops that and nothing else
<home>/stack.env                endpoints and addresses, as without Docker; and where runs are recorded
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artifacts import atomic
from artifacts.home import CHECKOUT
from deploy.native.programs import StackError
from deploy.native.services import Ports
from deploy.native.stack import Stack
from deploy.secrets import COMPOSE, FILE
from telemetry.endpoints import variable_of
from telemetry.segments import Signal

VARIABLE = "GLASSFORMER_STACK"
_ANSWERS_WITHIN = 20.0  # seconds
# Where docker-compose.yml publishes what (tests/deploy/native/test_containers.py compares).
_TAKES: dict[Signal, str] = {
    "logs": f":{Ports.loki}/otlp/v1/logs",
    "traces": f":{Ports.tempo_otlp}/v1/traces",
    "metrics": f":{Ports.prometheus}/api/v1/otlp/v1/metrics",
}
_PAGES = {"grafana": Ports.grafana, "mlflow": Ports.mlflow, "prometheus": Ports.prometheus}
# Runs are recorded there as well: the exporter, and so the boards, read that MLflow.
_TELLS = {
    "MLFLOW_TRACKING_URI": Ports.mlflow,
    "GLASSFORMER_MLFLOW_URL": Ports.mlflow,
    "GLASSFORMER_GRAFANA_URL": Ports.grafana,
    "GLASSFORMER_TEMPO_URL": Ports.tempo,
    "GLASSFORMER_EXPORTER_URL": Ports.exporter,
}


def answer(stack: Stack, options: argparse.Namespace) -> int | None:
    """Run the command in Docker and return its exit code, or None if it is for the native stack."""
    containers = Containers(stack.home)
    commands: dict[str, Callable[[], int]] = {"up": containers.up, "status": containers.status, "down": containers.down}
    if options.command != "up":
        return commands[options.command]() if options.command in commands and containers.file.exists() else None
    if any(service.process for service in stack.services()):
        return None  # what runs goes on as it was started
    wish = "native" if options.native or _has_own_ports(options) else os.environ.get(VARIABLE, "")
    if wish not in ("", "native", "docker"):
        raise StackError(f"{VARIABLE}={wish}: there are native and docker; unset, Docker is used where it answers")
    if wish == "native":
        if containers.file.exists():
            raise StackError("the stack runs in Docker; `make stack-down` first")
        return None
    missing = containers.missing()
    if missing and (wish == "docker" or containers.file.exists()):
        raise StackError(f"{missing}; fix it, or `make stack-down` and {VARIABLE}=native make stack")
    return None if missing else containers.up()


class Containers:
    """The services of docker-compose.yml for one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "stack" / "containers.json"

    def missing(self) -> str:
        """The reason why Docker cannot be used; empty if it can."""
        if not shutil.which("docker"):
            return "docker is not on PATH"
        for command, reason in (
            (["docker", "info"], "no Docker engine answers"),
            ([*COMPOSE, "version"], "docker has no compose"),
        ):
            try:
                done = subprocess.run(
                    command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_ANSWERS_WITHIN, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                return reason
            # Without an engine `docker info` describes only the client; some versions exit 0 after that.
            if done.returncode or b"Cannot connect to the Docker daemon" in done.stdout + done.stderr:
                return reason
        return ""

    def up(self) -> int:
        """Start what does not run and wait until all of it is healthy. StackError when something does not come up."""
        if not FILE.is_file():
            raise StackError(f"{FILE} is not there; `make secrets` writes it ({VARIABLE}=native needs none)")
        # The exporter reads it; compose refuses a folder that is not there
        self.home.mkdir(parents=True, exist_ok=True)
        before = self._running() - set(self._started_services())
        try:
            self._compose("up", "--detach", "--wait")
        except BaseException:
            self._stop(before)
            self._forget()
            raise
        atomic.write_json(self.file, {"started": sorted(self._running() - before), "beside": sorted(before)})
        note = "# Written by `make stack`, removed by `make stack-down`. What the environment sets goes before it.\n"
        variables = {variable_of(signal): f"http://127.0.0.1{path}" for signal, path in _TAKES.items()}
        variables |= {variable: f"http://127.0.0.1:{port}" for variable, port in _TELLS.items()}
        atomic.write_text(
            self.home / "stack.env", note + "".join(f"{name}={value}\n" for name, value in variables.items())
        )
        for name, port in _PAGES.items():
            print(f"{name:12} http://127.0.0.1:{port}")
        print("`make run` sends there now, and records its runs in that MLflow; `make stack-down` stops it")
        return 0

    def down(self) -> int:
        """Stop and remove the containers that `up` started; their volumes stay."""
        started, before = self._started_services(), set(self._read()["beside"])
        if missing := self.missing():
            raise StackError(f"{missing}; the stack runs in Docker: start Docker, then `make stack-down` again")
        self._stop(before)
        self._forget()
        print(f"stopped {', '.join(started)}")
        return 0

    def status(self) -> int:
        """Print the state of the services started before; 1 if one of them does not run."""
        if missing := self.missing():
            raise StackError(f"{missing}; the stack was started in Docker")
        found = {one["Service"]: one.get("Health") or one.get("State", "") for one in self._list("--all")}
        states = {name: found.get(name, "gone") for name in self._started_services()}
        for name, state in states.items():
            print(f"{name:12} {state}")
        return 0 if set(states.values()) <= {"healthy", "running"} else 1

    def _stop(self, before: set[str]) -> None:
        """Leave what ran before we came."""
        ours = sorted({one["Service"] for one in self._list("--all")} - before)
        if not before:
            self._compose("down")
        elif ours:
            self._compose("rm", "--stop", "--force", *ours)

    def _forget(self) -> None:
        for file in (self.home / "stack.env", self.file):
            file.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            return dict(atomic.read_json(self.file))
        except (FileNotFoundError, ValueError):
            return {"started": [], "beside": []}

    def _started_services(self) -> list[str]:
        return list(self._read()["started"])

    def _running(self) -> set[str]:
        return {one["Service"] for one in self._list() if one.get("State", "running") == "running"}

    def _list(self, *options: str) -> list[dict[str, Any]]:
        """Its containers. A line of JSON each; before compose 2.21 one list."""
        output = self._compose("ps", "--format", "json", *options, quietly=True)
        try:
            services = [json.loads(line) for line in output.splitlines() if line.strip()]
        except ValueError:
            raise StackError(f"docker compose ps printed invalid JSON: {output[:200]}") from None
        return [one for entry in services for one in (entry if isinstance(entry, list) else [entry])]

    def _compose(self, *arguments: str, quietly: bool = False) -> str:
        environment = os.environ | {"GLASSFORMER_HOME": str(self.home)}
        done = subprocess.run([*COMPOSE, *arguments], cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE if quietly else None, text=True, check=False)  # fmt: skip
        if done.returncode:
            raise StackError(
                f"docker compose {arguments[0]} failed (exit {done.returncode}, see above); `docker compose logs` may say more, "
                f"{VARIABLE}=native make stack goes without Docker"
            )
        return done.stdout or ""


def _has_own_ports(options: argparse.Namespace) -> bool:
    """Docker's are those of docker-compose.yml."""
    return any(getattr(options, f"{name}_port", port) != port for name, port in vars(Ports()).items())
