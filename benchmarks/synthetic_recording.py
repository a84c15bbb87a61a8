"""A synthetic recording of one run of `docs`: a driver and seven steps speak through telemetry's own code, hours of it in seconds.

Each process has an `Observe` of its own, as in a real run, but time is made up: `Run.forward` passes it, and whenever
five seconds have passed everyone's metrics are written. While they speak, the recorder notes which real moment stands for
which moment of the run; afterwards every time in the records is put on the run's own time line, from 0 on.
`benchmarks/synthetic_runs.py` replays such a recording with other ids at other times.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.synthetic_script import Outcome, play
from telemetry import Observe, context, records
from telemetry.segments import SIGNALS, Signal, read_segment, segments

EVERY = 5.0  # seconds between two writings of the metrics, as in telemetry/export.py
RUN = "run"  # the id in a recording; a replay puts its own
TIMES = {"time_unix_nano", "start_time_unix_nano", "end_time_unix_nano", "observed_time_unix_nano"}
_NO_TIMES_IN = {"resource", "scope", "attributes", "filtered_attributes", "body"}


@dataclass(frozen=True)
class Said:
    """One OTLP request of a process (0 is the driver), its times counted from the run's start."""

    time_ns: int
    signal: Signal
    process: int
    request: Any


class Speaking(Observe):
    """An Observe whose metrics are written on demand."""

    def flush(self) -> None:
        """Write the current values of the metrics."""
        if self._open is not None and self._open.signals is not None:
            self._open.signals.flush()


class Run:
    """A run whose time is made up."""

    def __init__(self, folder: Path, pipeline: str) -> None:
        self.now = 0.0
        self._folder, self._pipeline = folder, pipeline
        self._written = 0.0
        self._marks = [(time.time_ns(), 0.0)]  # real nanoseconds, seconds of the run
        self._processes: list[tuple[Path, Speaking]] = []

    @contextmanager
    def process(self, step: str, node: str, parent: Observe | None = None) -> Iterator[Speaking]:
        """A process that speaks, from its start to its end."""
        outbox = self._folder / str(len(self._processes))
        variables = parent.environment() if parent else {context.VARIABLE: ""}
        with patch.dict(os.environ, variables):
            speaking = Speaking.open(
                "glassformer", pipeline=self._pipeline, run=RUN, step=step, node=node, outbox=outbox, terminal=False
            )
        assert isinstance(speaking, Speaking)
        self._processes.append((outbox, speaking))
        try:
            yield speaking
        finally:
            speaking.close()

    def forward(self, seconds: float) -> None:
        """Let time pass; each open process writes its metrics every five seconds."""
        end = self.now + seconds
        while self._written + EVERY <= end:
            self._written += EVERY
            self._be(self._written)
            for _, speaking in self._processes:
                speaking.flush()
        self._be(end)

    def records(self) -> list[Said]:
        """All records, in order."""
        self._be(self.now + 0.001)
        found = []
        for process, (outbox, _) in enumerate(self._processes):
            for signal in SIGNALS:
                for frame in (frame for path in segments(outbox, signal) for frame in read_segment(path)):
                    request = records.request_class(signal).FromString(frame.payload)
                    change_times(request, self._at)
                    found.append(Said(self._at(frame.time_ns), signal, process, request))
        return sorted(found, key=lambda said: said.time_ns)

    def _be(self, now: float) -> None:
        self.now = now
        self._marks.append((time.time_ns(), now))

    def _at(self, real_ns: int) -> int:
        """The moment of the run, in nanoseconds, for which a real one stands."""
        place = min(max(1, bisect.bisect_left(self._marks, (real_ns, -math.inf))), len(self._marks) - 1)
        (before, start), (after, end) = self._marks[place - 1], self._marks[place]
        rate = min(1.0, (end - start) * 1e9 / max(1, after - before))  # at the recorded pace, or as fast as time allows
        return round(start * 1e9 + rate * min(max(0, real_ns - before), after - before))


def record(outcome: Outcome = "done", *, updates: int = 5000, pipeline: str = "docs") -> list[Said]:
    """Record a run with this ending; `updates` are those of a training. Takes seconds."""
    heard = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(heard):
        run = Run(Path(folder), pipeline)
        play(run, outcome, updates)
        said = run.records()
    faults = [line for line in heard.getvalue().splitlines() if line.startswith("telemetry")]
    if faults:
        raise RuntimeError(f"telemetry of a synthetic run: {faults[0]}")
    return said


def change_times(message: Any, change: Callable[[int], int]) -> None:
    """Put `change(t)` for every time of an OTLP message."""
    for field, value in message.ListFields():
        if field.name in TIMES:
            setattr(message, field.name, change(value))
        elif field.message_type is not None and field.name not in _NO_TIMES_IN:
            for inner in value if field.is_repeated else [value]:
                change_times(inner, change)
