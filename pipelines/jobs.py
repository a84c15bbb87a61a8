"""Nodes side by side: how many, which of them may start, and the threads that wait for their processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artifacts.errors import UserError
from pipelines.graph import Node
from telemetry import Interrupted

AUTO = "auto"
_CORES, _BYTES = 4, 4 << 30  # for each node: a training keeps as many cores busy, and most take less memory
_GPU = Path("/dev/nvidiactl")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of control groups, versions 2 and 1


def number_of(text: str) -> int:
    """The value of `--jobs`; UserError for anything but `auto` and a number from 1."""
    if text in ("", AUTO):
        return default()
    if not text.strip().isdecimal():
        raise UserError(f"--jobs {text}: give a number, or auto", 2)
    if not int(text):
        raise UserError(f"--jobs {text}: must be at least 1", 2)
    return int(text)


def default() -> int:
    """One job for each four cores and each 4 GiB of memory. One where there is a GPU of Nvidia's: trainings would share it."""
    if _GPU.exists():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores // _CORES, _memory() // _BYTES))


def _memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that this machine or container has."""
    import psutil

    found = int(psutil.virtual_memory().total)
    for name in _LIMITS:
        with suppress(OSError, ValueError):  # no such group, or `max`
            found = min(found, int((groups / name).read_text()))
    return found


def ready(waiting: Iterable[Node], made: Container[str], at_work: Iterable[Node]) -> Iterator[Node]:
    """Nodes that may start, in the pipeline's order: all of their inputs are made.

    Registrations follow one another in that order, since it numbers the versions.
    """
    registering = any(node.step == "register" for node in at_work)
    for node in waiting:
        if node.step == "register":
            if registering:
                continue
            registering = True
        if all(feeder in made for feeder in node.inputs.values()):
            yield node


@dataclass
class Worker:
    """A node at work in a thread of its own."""

    node: Node
    work: Callable[[], dict[str, Any]]
    answer: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Workers:
    """The nodes at work, at most `jobs` of them."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.at_work: dict[str, Worker] = {}
        self.stopped_by = 0  # number of the signal that ends them all
        self._stop, self._change = threading.Event(), threading.Event()

    @property
    def full(self) -> bool:
        """Whether another node would be one too many."""
        return len(self.at_work) >= self.jobs

    def start(self, node: Node, work: Callable[[], dict[str, Any]]) -> None:
        """Let a thread do a node's work."""
        self.at_work[node.id] = worker = Worker(node, work)
        threading.Thread(target=self._do, args=(worker,), name=f"node-{node.id}", daemon=True).start()

    def next_ended(self) -> Worker:
        """Wait until one of them ends, in slices, so that signals reach this thread."""
        while not (ended := [name for name, worker in self.at_work.items() if worker.ended.is_set()]):
            self._change.wait(0.1)
            self._change.clear()
        return self.at_work.pop(ended[0])

    def all_ended(self) -> bool:
        """Whether none is at work."""
        return all(worker.ended.is_set() for worker in self.at_work.values())

    def stop(self, signal_number: int) -> None:
        """No worker starts anything from here on."""
        self.stopped_by = signal_number
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait for all of them, for so long at most."""
        for worker in self.at_work.values():
            worker.ended.wait(seconds)

    def raise_if_stopped(self) -> None:
        """Raise Interrupted in a worker, once `stop` was called."""
        if self.stopped_by:
            raise Interrupted(self.stopped_by)

    def pause(self, seconds: float) -> None:
        """Pause a worker, until `stop` is called at the latest."""
        self._stop.wait(seconds)
        self.raise_if_stopped()

    def _do(self, worker: Worker) -> None:
        try:
            worker.answer = worker.work()
        except BaseException as error:  # the main thread raises it
            worker.error = error
        finally:
            worker.ended.set()
            self._change.set()
