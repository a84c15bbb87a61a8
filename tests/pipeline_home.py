"""A home of its own for tests that run pipelines as a user does: as processes, with a store and a tracking database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.shared import copy_empty_store

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Home:
    """One user's state, under a temporary folder."""

    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    store: bool = True  # begin with an empty tracking store, which is made once for all tests

    @property
    def state(self) -> Path:
        return self.folder / "var"

    @property
    def tracking_uri(self) -> str:
        return self.extra.get("MLFLOW_TRACKING_URI", f"sqlite:///{self.folder}/mlflow.db")

    @property
    def environment(self) -> dict[str, str]:
        # Without compiled files each of a thousand processes would compile our modules, and parse them for its plan.
        left_out = ("MLFLOW_", "GLASSFORMER_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        return kept | {
            "GLASSFORMER_HOME": str(self.state),
            "GLASSFORMER_STRICT_TELEMETRY": "1",
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": str(self.folder / "mlruns"),  # else ./mlruns, which is the checkout's
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **self.extra,
        }

    def start(self, *arguments: str, module: str = "pipelines") -> subprocess.Popen[str]:
        """Start `python -m <module> <arguments>` as the leader of a process group of its own."""
        self._prepare_store()
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _prepare_store(self) -> None:
        if self.store and "MLFLOW_TRACKING_URI" not in self.extra:
            self.folder.mkdir(parents=True, exist_ok=True)
            copy_empty_store(self.folder)

    def run(self, *arguments: str, module: str = "pipelines", expect: int | None = 0) -> str:
        """Run it to its end; its output. With `expect`, the exit code must be that."""
        process = self.start(*arguments, module=module)
        output, _ = process.communicate(timeout=600)
        if expect is not None:
            assert process.returncode == expect, f"exit {process.returncode}, not {expect}:\n{output[-6000:]}"
        return output

    def plan(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """The plan by node."""
        process = subprocess.run(
            [sys.executable, "-m", "pipelines", "plan", *arguments, "--json"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return {entry["node"]: entry for entry in json.loads(process.stdout)}

    def digests(self, pipeline: str = "tiny") -> dict[str, str]:
        """Node -> digest of its artifact; every node must be a HIT."""
        plan = self.plan(pipeline)
        assert {entry["state"] for entry in plan.values()} == {"HIT"}, plan
        return {node: entry["artifact"] for node, entry in plan.items()}

    def processes(self) -> list[psutil.Process]:
        """Every living process that works for this home."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    process.environ().get("GLASSFORMER_HOME") == str(self.state)
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def wait_gone(self, seconds: float) -> list[psutil.Process]:
        """Wait until no process works for this home any more; those that still do."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        return left

    def wait_for(self, pattern: str, seconds: float = 120) -> Path:
        """Wait until a file of this pattern is in the home."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := sorted(self.state.glob(pattern)):
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"no {pattern} in {self.state} after {seconds} s")

    def client(self) -> Any:
        """An MLflow client of this home's tracking database."""
        from mlflow import MlflowClient

        self._prepare_store()
        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def mlflow_runs(self) -> list[Any]:
        """The MLflow runs of all experiments."""
        client = self.client()
        every = [experiment.experiment_id for experiment in client.search_experiments()]
        return list(client.search_runs(every, max_results=1000))

    def mlflow_states(self) -> dict[str, list[str]]:
        """Run name -> the states of all runs of that name."""
        states: dict[str, list[str]] = {}
        for run in self.mlflow_runs():
            states.setdefault(run.info.run_name, []).append(run.info.status)
        return states


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a process and its whole group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
