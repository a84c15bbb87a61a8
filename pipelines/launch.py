"""A node as a process: started through MLproject, awaited, and ended when this process ends."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from artifacts import atomic
from artifacts.home import CALLED_IN, CHECKOUT
from steps import handoff
from telemetry import Interrupted

_GRACE = 20.0  # seconds that a step has to save a checkpoint
_PR_SET_PDEATHSIG = 1


def tie_lives_together() -> None:
    """Make our steps end when we do, and us when the `mlflow run` that launched us does, whatever ends them.

    Steps inherit the reading end of a pipe as standard input and end when it closes; nothing is written to it.
    """
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    os.close(reader)
    os.set_inheritable(writer, False)
    launched_by_mlflow = "MLFLOW_RUN_ID" in os.environ
    if launched_by_mlflow and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # `python` in an entry point's command is the interpreter that runs us, activated or not.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


@contextmanager
def starting_steps() -> Iterator[None]:
    """Set the variables that all steps get; within, `run_step` adds those of each. None is removed while a step may start:
    MLflow copies the environment in another thread."""
    os.environ[CALLED_IN] = str(Path.cwd())
    try:
        yield
    finally:
        os.environ.pop(CALLED_IN, None)
        handoff.forget()


def run_step(step: str, parameters: Mapping[str, Any], task: handoff.Task, mlflow_run: str) -> dict[str, Any]:
    """Run an entry point of MLproject in a process of its own and return its answer (see `steps/wrapper.py`)."""
    task.write()
    task.answer_file.unlink(missing_ok=True)
    os.environ[handoff.variable(mlflow_run)] = task.file
    # An event of our own: a signal that interrupts `Thread.join` makes Python 3.11 take the thread for ended.
    ended = threading.Event()
    run = (step, parameters, mlflow_run, ended)
    threading.Thread(target=_project_run, args=run, name=f"run-{task.node}", daemon=True).start()
    ended.wait()
    return answer_of(task)


def answer_of(task: handoff.Task) -> dict[str, Any]:
    """The step's answer; a step that died without one (SIGKILL, out of memory) has failed."""
    try:
        answer: dict[str, Any] = atomic.read_json(task.answer_file)
    except (FileNotFoundError, ValueError):
        return {
            "state": "failed",
            "exit_code": 1,
            "error": "the step exited without reporting a result (killed, out of memory or disk full?)",
        }
    return answer


def end_children(ended: Callable[[], bool]) -> None:
    """Send SIGTERM to our children, also late ones; SIGKILL to the rest after a while, or at once on a second signal.

    `ended` tests whether the threads that wait for the children have seen them all end. We must not wait for the processes
    ourselves: the first waiter takes the exit code, and MLflow would record a success.
    """
    deadline = time.monotonic() + _GRACE
    looks: Counter[int] = Counter()
    try:
        while not ended() and time.monotonic() < deadline:
            # One that MLflow was about to start when we were asked to end comes later. Signalled at the second look: between
            # fork and exec a child still has our handlers, and the signal would be lost.
            for child in psutil.Process().children():
                looks[child.pid] += 1
                if looks[child.pid] == 2:
                    _send(child, signal.SIGTERM)
            time.sleep(0.05)
    except Interrupted:
        pass
    finally:
        for child in psutil.Process().children(recursive=True):
            _send(child, signal.SIGKILL)


def _send(child: psutil.Process, signal_number: int) -> None:
    try:
        child.send_signal(signal_number)
    except psutil.Error:
        return  # it has ended


def _project_run(step: str, parameters: Mapping[str, Any], mlflow_run: str, ended: threading.Event) -> None:
    import mlflow
    from mlflow.exceptions import ExecutionException

    try:
        mlflow.projects.run(
            str(CHECKOUT),
            entry_point=step,
            parameters={name: as_text(value) for name, value in parameters.items()},
            run_id=mlflow_run,
            env_manager="local",
        )
    except ExecutionException:
        return  # the step's answer is more specific than "Run failed"
    finally:
        ended.set()


def as_text(value: Any) -> str:
    """A parameter's value as MLflow passes it on a command line."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return json.dumps(value) if value else ""
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return str(value).lower() if isinstance(value, bool) else str(value)
