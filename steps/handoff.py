"""Two small files between the pipeline driver and a step: the driver's settings, and the step's answer.

The driver names a file in `GLASSFORMER_NODE_<id of the node's run in MLflow>`; the step writes its answer next to it. MLflow
gives each process that id and a copy of the driver's environment, so nodes that start side by side find their own. A step that
is started by hand has no such file: it is its own pipeline of one node, and nothing is cached.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from artifacts import atomic

_VARIABLE = "GLASSFORMER_NODE_"


def variable(mlflow_run: str) -> str:
    """Name of the variable that names a node's file."""
    return f"{_VARIABLE}{mlflow_run}"


def forget() -> None:
    """Remove these variables from the environment, once no step is at work."""
    for name in [name for name in os.environ if name.startswith(_VARIABLE)]:
        del os.environ[name]


@dataclass(frozen=True)
class Task:
    """One node of a run, as the driver planned it."""

    pipeline: str
    run: str  # our id of the pipeline's run
    node: str
    step: str
    fingerprint: str
    parts: dict[str, Any]  # of the fingerprint; kept in the record, for later plans to compare with
    forced: bool
    file: str  # where this is written; also tells where the answer and the feed of metrics go
    environment: dict[str, str] = field(default_factory=dict)  # variables of this node's process alone
    launched_ns: int = 0  # since 1970

    def write(self) -> None:
        atomic.write_json(Path(self.file), asdict(self))

    @property
    def answer_file(self) -> Path:
        return Path(self.file).with_suffix(".answer.json")

    @property
    def feed_file(self) -> Path:
        return Path(self.file).with_suffix(".metrics.jsonl")


def read_task() -> Task | None:
    """The task this process was started for, its variables set; None when it was started by hand."""
    file = os.environ.get(variable(os.environ.get("MLFLOW_RUN_ID", "")))
    if not file:
        return None
    task = Task(**atomic.read_json(Path(file)))
    os.environ.update(task.environment)
    return task
