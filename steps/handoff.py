"""Two small files between the pipeline driver and a step: the driver's settings, and the step's answer.

The driver names a file in `GLASSFORMER_NODE`; the step writes its answer next to it. A step that is started by hand has
no such file: it is its own pipeline of one node, and nothing is cached.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from artifacts import atomic

VARIABLE = "GLASSFORMER_NODE"


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

    def write(self) -> None:
        atomic.write_json(Path(self.file), asdict(self))

    @property
    def answer_file(self) -> Path:
        return Path(self.file).with_suffix(".answer.json")

    @property
    def feed_file(self) -> Path:
        return Path(self.file).with_suffix(".metrics.jsonl")


def read_task() -> Task | None:
    """The task this process was started for; None when it was started by hand."""
    file = os.environ.get(VARIABLE)
    return Task(**atomic.read_json(Path(file))) if file else None
