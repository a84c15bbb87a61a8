"""A real step's process, as a pipeline starts one: the wrapper around a few lines that a test writes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from steps import handoff
from telemetry import records
from telemetry.names import sent_as
from telemetry.segments import Signal, read_segment, segments
from tests.pipeline_home import ROOT

STEP = '''"""A step of a test."""
import os, signal, sys, time
{before}
from artifacts.errors import UserError
from steps.contract import StepConfig

class Config(StepConfig):
    note: str = ""

def run(config, inputs, output, observe):
{body}

if __name__ == "__main__":
    from steps.step import Step
    from steps.wrapper import run_step
    run_step(Step("trial", sys.modules[__name__]))
'''


class StepProcess:
    """The process, its home (`var/` in `folder`), and the pipe that its driver would hold open."""

    def __init__(self, folder: Path, body: str, *, before: str = "", **environment: str) -> None:
        self.home = folder / "var"
        self.outbox = self.home / "outbox"
        file = folder / "trial.py"
        file.write_text(STEP.format(before=before, body=textwrap.indent(body.strip(), "    ")))
        task = handoff.Task("trial", "r1", "trial", "trial", "f" * 64, {}, True, str(self.home / "runs" / "trial.json"))
        Path(task.file).parent.mkdir(parents=True, exist_ok=True)
        task.write()
        ours = ("OTEL_", "GLASSFORMER_", "MLFLOW_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        kept |= {"GLASSFORMER_HOME": str(self.home), handoff.variable(""): task.file, "PYTHONPATH": str(ROOT)}
        self._errors = folder / "stderr.txt"  # no pipe: one that nobody reads fills up, and the step waits
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(file)],
                cwd=folder,
                env={**kept, **environment},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def line(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ended(self) -> tuple[int, str]:
        """Exit code and standard error, once it ended."""
        self.process.wait(60)  # before its standard input closes: it would take that for the end of its pipeline
        self.process.communicate()
        return self.process.returncode, self._errors.read_text()


def units(outbox: Path, signal: Signal) -> list[bytes]:
    """Every record that lies in an outbox, each as a request of its own."""
    return [
        unit
        for path in segments(outbox, signal)
        for frame in read_segment(path)
        for unit in records.units(signal, frame.payload)
    ]


def log_messages(outbox: Path) -> list[str]:
    """The bodies of the log records in an outbox, in order."""
    found = [records.request_class("logs").FromString(unit) for unit in units(outbox, "logs")]
    return [request.resource_logs[0].scope_logs[0].log_records[0].body.string_value for request in found]


def span_names(outbox: Path) -> list[str]:
    """The names of the spans in an outbox, in the order of their ends."""
    found = [records.request_class("traces").FromString(unit) for unit in units(outbox, "traces")]
    return [request.resource_spans[0].scope_spans[0].spans[0].name for request in found]


def counted(outbox: Path, name: str) -> int:
    """What a counter stands at: its last value of each process, summed up."""
    last: dict[str, int] = {}
    for unit in units(outbox, "metrics"):
        part = records.request_class("metrics").FromString(unit).resource_metrics[0]
        metric = part.scope_metrics[0].metrics[0]
        if metric.name == sent_as(name):
            instance = next(a.value.string_value for a in part.resource.attributes if a.key == "service.instance.id")
            last[instance] = metric.sum.data_points[0].as_int
    return sum(last.values())
