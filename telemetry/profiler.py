"""Flame graphs of a step: where its threads spent the time, in all and in intervals that were slow.

A step that lasts longer than a few seconds is sampled by py-spy, from a process of its own (`telemetry/flame_graphs.py`).
The graphs are in `<home>/runs/<run>/profiles/<node>/`: step.svg, and interval-FIRST-LAST.svg for an interval of a training whose
updates took more than 1.5 times the median of the (up to) 20 intervals before it, of which there are at least 5. What
evaluations and checkpoints took does not count: they have spans. The span's attribute `flame_graph` is the address where the
exporter serves the graph; it is known before the graph is drawn.

GLASSFORMER_PROFILER=off turns it off, and so does OTEL_SDK_DISABLED=true. py-spy belongs to the extra `profiles`.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Literal, Protocol

from telemetry import flame_graphs
from telemetry.endpoints import is_disabled

VARIABLE = "GLASSFORMER_PROFILER"
AFTER_S = 3.0  # a step that ends sooner is not sampled
SLOW, FEWEST, WINDOW = 1.5, 5, 20  # times the median; intervals needed for it, intervals remembered
_OUTSIDE = ("validate", "checkpoint")  # spans within an interval that have times of their own
_PR_SET_PTRACER = 0x59616D61  # Linux, Yama: who may read this process


class EventLog(Protocol):
    """Sink of the profiler's events."""

    def log(self, event: str, message: str, *, level: Literal["debug", "info", "warning"]) -> None:
        """One event."""


def is_wanted() -> bool:
    """Whether steps are to be sampled. ValueError for a value that is neither on nor off."""
    chosen = os.environ.get(VARIABLE, "on").strip().lower() or "on"
    if chosen not in ("on", "off"):
        raise ValueError(f"{VARIABLE}={chosen}: must be on or off; no flame graphs are drawn")
    return chosen == "on" and not is_disabled()


def find_py_spy() -> Path | None:
    """The program, from the environment that runs us."""
    found = Path(sysconfig.get_path("scripts")) / "py-spy"
    return found if found.is_file() else None


class SlowIntervals:
    """The slow intervals of a training."""

    def __init__(self) -> None:
        self._before: deque[float] = deque(maxlen=WINDOW)

    def times(self, seconds_per_update: float) -> float:
        """How many times the usual an interval took; 0 if it is not slow, or too few came before it."""
        usual = median(self._before) if len(self._before) >= FEWEST else 0.0
        self._before.append(seconds_per_update)
        return seconds_per_update / usual if usual and seconds_per_update > SLOW * usual else 0.0


class Profiler:
    """Samples this process, from a few seconds after its start."""

    def __init__(self, folder: Path, address: Callable[[str], str], observe: EventLog) -> None:
        """`address` gives a graph's by its name."""
        self.folder, self._address, self.observe = folder, address, observe
        self.process: subprocess.Popen[str] | None = None
        self._is_sampling, self._closed, self._changing = False, threading.Event(), threading.Lock()
        self._slow, self._outside, self._count = SlowIntervals(), 0.0, 0
        self._thread = threading.Thread(target=self._work, name="profiler", daemon=True)
        self._thread.start()

    def span_ended(self, name: str, seconds: float, attributes: Mapping[str, Any]) -> str:
        """The address of the flame graph of a span that ends now; empty if it has none."""
        if name in _OUTSIDE:
            self._outside += seconds
        if name == "step" and self._is_sampling:
            return self._address("step")
        if name != "interval":
            return ""
        outside, self._outside = self._outside, 0.0
        first, last = int(attributes.get("first_update", 0)), int(attributes.get("last_update", -1))
        if last < first:
            return ""
        times = self._slow.times((seconds - outside) / (last - first + 1))
        return self._want(f"interval-{first}-{last}", seconds, times) if times and self._is_sampling else ""

    def close(self, wait_s: float = 0.1) -> None:
        """End sampling. The rest is drawn by a process that outlives this one if need be."""
        self._closed.set()
        with self._changing:
            if self.process is None or self.process.stdin is None:
                return
            with suppress(OSError):
                self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(wait_s)

    def _want(self, name: str, seconds: float, times: float) -> str:
        now = time.time()
        assert self.process is not None
        assert self.process.stdin is not None
        line = json.dumps({"name": name, "start": now - seconds, "end": now, "times": times})
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except (OSError, ValueError):  # it has ended, and told why
            return ""
        self._count += 1
        if self._count == flame_graphs.MOST_INTERVALS + 1:
            message = f"more than {flame_graphs.MOST_INTERVALS} slow intervals: the slowest keep their flame graphs"
            self.observe.log("profiler.full", message, level="info")
        return self._address(name)

    def _work(self) -> None:
        if self._closed.wait(AFTER_S):
            return
        py_spy = find_py_spy()
        if py_spy is None:
            self.observe.log(
                "profiler.off", "py-spy is not installed (extra `profiles`): no flame graphs", level="debug"
            )
            return
        try:
            with self._changing:
                if self._closed.is_set():
                    return
                self._start(py_spy)
        except OSError as error:
            self.observe.log("profiler.off", f"no flame graphs: {error}", level="warning")
            return
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout as problems:
            for line in problems:
                self._is_sampling = False
                message = f"no flame graphs: {line.strip()}; {VARIABLE}=off leaves py-spy out"
                self.observe.log("profiler.off", message, level="warning")

    def _start(self, py_spy: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        thread = threading.main_thread().ident
        command = [sys.executable, "-I", "-S", flame_graphs.__file__, str(py_spy), str(os.getpid()), str(thread)]
        self.process = subprocess.Popen(
            [*command, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # who waits for the end of ours must not wait for this one
            text=True,
            start_new_session=True,  # Ctrl-C ends the step, whose last minute is still to be drawn
        )
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, self.process.pid, 0, 0, 0)
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self._is_sampling = True
