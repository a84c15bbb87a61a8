"""A step as a process: its end when its parent is gone, and its cost."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass, field

from telemetry import Observe

_SECONDS_TO_END = 8.0  # a checkpoint fits in it; the promise is ten

# How long a thread of PyTorch spins before it sleeps, when it waits for the others. Not at all, and waking it takes longer than
# a small layer does: an update of history's trainings took 1.1 to 2.4 times as long on two cores. As long as libgomp's own
# default, and two trainings at once on the same two cores took 2.6 times as long as without; with this, 1.3 times.
# `benchmarks/waiting.py` measures it.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


def wait_so() -> None:
    """Let the threads of libraries that are loaded from now on wait like this, here and in our children."""
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)


def end_with_parent() -> None:
    """End this process when standard input does.

    The driver gives each step a pipe as standard input and never writes to it. Whatever way the driver ends, SIGKILL
    included, the pipe ends with it. PR_SET_PDEATHSIG would miss: it fires when the thread that started us ends, and
    a shell can stand between.
    """
    threading.Thread(target=_watch, name="end-with-parent", daemon=True).start()


def _watch() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        return  # no standard input at all: started by hand
    print("the pipeline that started this step is gone: saving and ending", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SECONDS_TO_END)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Meter:
    """Use of this process since the meter was made (CPU and memory: since the process began)."""

    started: float = field(default_factory=time.monotonic)

    def read(self) -> dict[str, float]:
        """`seconds`, `cpu_seconds` (children included), `peak_bytes` (of the largest single process)."""
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "seconds": round(time.monotonic() - self.started, 3),
            "cpu_seconds": round(cpu, 3),
            "peak_bytes": max(own.ru_maxrss, children.ru_maxrss) * unit,
        }

    def record(self, observe: Observe) -> dict[str, float]:
        """Record the metrics of what it reads."""
        cost = self.read()
        observe.metric("step.seconds", cost["seconds"])
        observe.metric("step.cpu_seconds", cost["cpu_seconds"])
        observe.metric("step.peak_bytes", cost["peak_bytes"])
        return cost
