"""One pretraining of `docs` in this process, as the step `pretrain` does it, and what telemetry took of it.

    python -m benchmarks.telemetry_run --data made.json --home FOLDER --updates 200 [--silent]

Prints one line of JSON. CPU seconds of telemetry are counted where they are spent: around opening and closing it, around
every call of the training thread, by the clocks of telemetry's own threads, and of the processes of shipper and profiler. What they
leave out (a training thread that waits for the interpreter's lock, colder caches) shows in the process's CPU and wall
time alone, which `benchmarks/telemetry.py` compares.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil

from artifacts import Output, open_artifact
from steps.step import load_step
from telemetry import Observe
from telemetry.progress import Progress
from telemetry.shipper import Shipping

pretrain = load_step("pretrain")

_OWN_THREADS = ("outbox-sync", "OtelPeriodicExportingMetricReader", "profiler")


def _timing(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapper(self: Metered, *arguments: Any, **named: Any) -> Any:
        before = time.thread_time()
        try:
            return method(self, *arguments, **named)
        finally:
            self.spent += time.thread_time() - before

    return wrapper


class Metered(Observe):
    """An Observe that counts the CPU seconds which the calling thread spends in it."""

    def __init__(self) -> None:
        super().__init__()
        self.spent = 0.0
        self.shipper: psutil.Process | None = None
        self.around_training: list[tuple[float, float]] = []

    def reading(self) -> tuple[float, float]:
        """CPU seconds so far: telemetry's (without opening), and those of the whole process with its shipper's and profiler's."""
        others = sum(self.shipper.cpu_times()[:2]) if self.shipper else 0.0
        if self._profiler and self._profiler.process:
            drawing = psutil.Process(self._profiler.process.pid)
            others += sum(sum(each.cpu_times()[:4]) for each in (drawing, *drawing.children()))
        return self.spent + cpu_of_threads() + others, time.process_time() + others

    log = _timing(Observe.log)
    metric = _timing(Observe.metric)
    count = _timing(Observe.count)
    measure = _timing(Observe.measure)

    def span(self, name: str, **attributes: Any) -> AbstractContextManager[None]:
        return _Span(self, super().span(name, **attributes), name)

    def progress(self, description: str, total: int | None, unit: str) -> Progress:
        progress = super().progress(description, total, unit)
        plain = progress.update
        progress.update = functools.partial(_timing(lambda _, *given, **shown: plain(*given, **shown)), self)  # type: ignore[method-assign]  # of this one alone
        return progress


class _Span(AbstractContextManager[None]):
    """A span whose start and end are counted, but not the time between; the training's span also takes a reading at both."""

    def __init__(self, observe: Metered, within: AbstractContextManager[None], name: str) -> None:
        self.observe, self.within, self.is_training = observe, within, name == "train"

    def __enter__(self) -> None:
        _timing(lambda _: self.within.__enter__())(self.observe)
        if self.is_training:
            self.observe.around_training.append(self.observe.reading())

    def __exit__(self, *error: Any) -> bool | None:
        if self.is_training:
            self.observe.around_training.append(self.observe.reading())
        return _timing(lambda _: self.within.__exit__(*error))(self.observe)


def run(paths: dict[str, str], home: Path, updates: int, *, silent: bool) -> dict[str, Any]:
    """Train, and say what that took and what of it was telemetry's."""
    began, shipping = time.process_time(), None
    observe = Metered.silent() if silent else None
    if observe is None:  # in the wrapper's order
        shipping = Shipping.start(home / "outbox")
        observe = Metered.open(
            "glassformer", pipeline="docs", run="benchmark", step="pretrain", node="pretrain", outbox=home / "outbox",
            feed=home / "pretrain.metrics.jsonl", log_file=home / "pretrain.jsonl",
        )  # fmt: skip
        observe.shipper = psutil.Process(shipping.pid) if shipping else None
        observe.profile()
    opened = time.process_time() - began
    with observe.span("step"):
        digest = _pretrain(paths, home, updates, observe)
    (own, cpu), (own_then, cpu_then) = observe.around_training
    ended, threads, calls = time.monotonic(), cpu_of_threads(), 0.0 if silent else observe.spent
    closing, children = time.process_time(), cpu_of_children()
    observe.close()
    closed = time.process_time() - closing
    if shipping:
        shipping.close()
    shipped = cpu_of_children() - children
    if observe._profiler and observe._profiler.process:
        observe._profiler.process.wait()  # a step does not: it draws the rest on its own
    return {
        "ended": ended, "train_seconds": observe.phase_seconds["train"], "train_cpu": cpu_then - cpu,
        "train_own": 0.0 if silent else own_then - own, "digest": digest, "open": opened, "calls": calls, "threads": threads,
        "close": closed, "shipper": shipped, "profiler": cpu_of_children() - children - shipped,
    }  # fmt: skip


def _pretrain(paths: dict[str, str], home: Path, updates: int, observe: Observe) -> str:
    config = pretrain.Config(**paths, max_updates=updates)
    inputs = {name: open_artifact(path, name) for name, path in paths.items()}
    observe.log("step.started", "pretrain started", config=config.model_dump(mode="json"))
    output = Output("checkpoint", home / "work", step="pretrain", parents=inputs, root=home)
    pretrain.run(config, inputs, output, observe)
    with observe.phase("commit"):
        digest = output.commit().digest
    observe.log("step.finished", f"pretrain made checkpoint {digest[:12]}")
    return digest


def cpu_of_threads() -> float:
    """CPU seconds of telemetry's own threads so far."""
    own = [thread for thread in threading.enumerate() if thread.name in _OWN_THREADS and thread.ident]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) for thread in own)


def cpu_of_children() -> float:
    """CPU seconds of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Train once and print one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="JSON file: where the corpus and the tokenizer are")
    parser.add_argument("--home", type=Path, required=True, help="empty folder for what this run writes")
    parser.add_argument("--updates", type=int, required=True, help="optimizer updates")
    parser.add_argument("--silent", action="store_true", help="without telemetry")
    options = parser.parse_args()
    print(json.dumps(run(json.loads(options.data.read_text()), options.home, options.updates, silent=options.silent)))


if __name__ == "__main__":
    main()
