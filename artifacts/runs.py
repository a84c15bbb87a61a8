"""Records of runs: one small file per run, so that a run whose process died is found and closed.

<home>/runs/<run>/run.json      pipeline, process, state, nodes, MLflow's run ids, the artifacts it made or used
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from artifacts import atomic

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
_CHANGING = threading.Lock()  # a driver's threads change and write its run


@dataclass
class Run:
    """The state of one run of a pipeline, or of one step by hand."""

    id: str
    pipeline: str
    folder: str
    tracking_uri: str = ""
    state: str = RUNNING
    reported: bool = False  # whether MLflow holds the final state and all metrics
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    pid: int = field(default_factory=os.getpid)
    pid_started: float = 0.0
    mlflow_runs: dict[str, str] = field(default_factory=dict)  # node -> run id; "" is the pipeline's own
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)  # node -> state, digest, path, seconds
    version: str = ""  # the model version it registered, as name/number
    trace_id: str = ""

    @classmethod
    def start(cls, root: Path, run_id: str, pipeline: str, tracking_uri: str) -> Run:
        """Begin a run and write its file."""
        run = cls(
            run_id, pipeline, str(root / "runs" / run_id), tracking_uri, pid_started=started_at(os.getpid()) or 0.0
        )
        run.save()
        return run

    @property
    def title(self) -> str:
        """Start, pipeline and short id: in the order of titles, the newest run is the last."""
        return f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(self.started_at))} {self.pipeline} {self.id[:8]}"

    def save(self) -> None:
        """Write the file atomically."""
        with _CHANGING:
            atomic.write_json(Path(self.folder) / "run.json", asdict(self))

    def put_node(self, node: str, about: dict[str, Any]) -> None:
        """Set the state of a node."""
        with _CHANGING:
            self.nodes[node] = about

    def put_mlflow_run(self, node: str, run_id: str) -> None:
        """Set the run of a node in MLflow."""
        with _CHANGING:
            self.mlflow_runs[node] = run_id

    def end(self, state: str) -> None:
        """Write that it ended."""
        self.state, self.ended_at = state, max(self.started_at, time.time())  # the clock may have been set back
        self.save()

    def is_alive(self) -> bool:
        """Whether the process that runs it is still there (a pid alone could be another process by now)."""
        return self.ended_at is None and self.pid_started == started_at(self.pid)

    def feeds(self) -> list[Path]:
        """Files of metrics that its steps wrote."""
        return sorted(Path(self.folder).glob("*.metrics.jsonl"))


def all_runs(root: Path) -> Iterator[Run]:
    """Every run that this home knows, oldest first."""
    runs = [run for file in (root / "runs").glob("*/run.json") if (run := _read(file))]
    yield from sorted(runs, key=lambda run: run.started_at)


def newest_first(root: Path, most: int) -> Iterator[Run]:
    """The runs that were written last, at most so many of them."""
    files = sorted((root / "runs").glob("*/run.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    runs = [run for file in files[:most] if (run := _read(file))]
    yield from sorted(runs, key=lambda run: run.started_at, reverse=True)


def _read(file: Path) -> Run | None:
    try:
        return Run(**{**atomic.read_json(file), "folder": str(file.parent)})
    except (OSError, ValueError, TypeError):
        return None  # of another version, or damaged: it cannot be closed, and nothing depends on it


def started_at(pid: int) -> float | None:
    """Seconds from the machine's start to a process's, unaffected by changes of the clock; None if there is no such process."""
    import psutil

    try:
        process = psutil.Process(pid)
        since_boot = round(process.create_time() - psutil.boot_time(), 2)
        return None if process.status() == psutil.STATUS_ZOMBIE else since_boot
    except psutil.Error:
        return None
