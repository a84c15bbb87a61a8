"""`observe`: all that a step may tell the world about itself, and how it hears that it should end.

Telemetry never raises into a step and never changes its result: an error here is told once on standard error and the
step goes on; nothing here draws from a random generator that a step could have seeded.

The wrapper and the pipeline driver open one for their process::

    observe = Observe.open("glassformer", pipeline="docs", run=run_id, step="pretrain", node="pretrain",
                           outbox=home / "outbox", feed=..., log_file=...)
    observe.install_signal_handlers()
    with observe.span("step"):
        ...                              # observe.environment() gives a child process the current span
    observe.close()

The trace is the one of `TRACEPARENT` in the environment, else a new one, the same from `open` to `close`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from telemetry import clean, context, names
from telemetry.feed import Feed
from telemetry.interrupts import Interrupts
from telemetry.progress import Progress, Silent
from telemetry.redact import redact
from telemetry.spans import RESULTS, Stacks, failure_of, result_of

if TYPE_CHECKING:
    from telemetry.export import Signals
    from telemetry.lines import Lines
    from telemetry.outbox import Outbox

Level = Literal["debug", "info", "warning", "error"]
_ROOTS = ("pipeline", "node", "step")  # spans that say when they begin and why they failed


class Observe:
    """Logs, spans, metrics and progress of one process, and its signals."""

    def __init__(self) -> None:
        self._signals: Signals | None = None
        self._lines: Lines | None = None
        self._feed: Feed | None = None
        self._outbox: Outbox | None = None
        self._terminal = False
        self._spans = Stacks()
        self._phase_seconds: dict[str, float] = {}
        self._interrupts = Interrupts()
        self._told = False
        self._progress: list[Progress] = []

    @classmethod
    def silent(cls) -> Observe:
        """One that records nothing, for tests and for code that runs outside a step."""
        return cls()

    @classmethod
    def open(
        cls, service: str, *, pipeline: str, run: str, step: str, node: str, outbox: Path, feed: Path | None = None,
        log_file: Path | None = None, terminal: bool | None = None,
    ) -> Observe:  # fmt: skip
        """Begin recording. `feed` is the file for numbers that MLflow should get, `log_file` for JSON lines."""
        observe = cls()
        about = redact({"pipeline": pipeline, "run": run, "step": step, "node": node})
        # One by one, so that what cannot be opened takes nothing else with it.
        observe._safely(lambda: observe._open_lines(about, log_file, terminal))
        observe._safely(lambda: observe._open_signals(service, about, outbox))
        if feed is not None:
            observe._safely(lambda: observe._open_feed(feed))
        return observe

    def _open_lines(self, about: Mapping[str, str], log_file: Path | None, terminal: bool | None) -> None:
        from telemetry.lines import Lines

        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._lines = Lines(log_file, about, self._terminal)

    def _open_signals(self, service: str, about: Mapping[str, str], outbox: Path) -> None:
        from telemetry.export import Signals
        from telemetry.outbox import Outbox

        instance = f"{about['run']}-{about['node'] or about['step']}-{os.getpid()}"
        resource = {"service.namespace": "glassformer", "service.name": service, "service.instance.id": instance}
        resource |= {f"glassformer.{name}": value for name, value in about.items() if value}
        self._outbox = Outbox(outbox)
        self._signals = Signals(resource, self._outbox)
        self._signals.watch(lambda: {"step.progress": sum(progress.done for progress in self._progress)})

    def _open_feed(self, path: Path) -> None:
        self._feed = Feed(path)

    # What a step says

    def log(self, event: str, message: str, *, level: Level = "info", **fields: Any) -> None:
        """One structured record. `event` is a name of telemetry/names.py; debug goes to the files alone."""
        if names.known(event, "event"):
            self._safely(lambda: self._log(event, message, level, fields, shown=level != "debug"))

    def phase(self, name: str, **attributes: Any) -> AbstractContextManager[None]:
        """A part of a step's work as a span (`read`, `train`); its seconds are kept. Never one a batch."""
        return self.span(name, **attributes)

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Iterator[None]:
        """A span around what is done within."""
        started = time.monotonic()
        depth = self._spans.depth()
        if names.known(name, "span"):
            self._safely(lambda: self._start_span(name, attributes))
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._phase_seconds[name] = self._phase_seconds.get(name, 0.0) + time.monotonic() - started
            self._safely(lambda: self._end_spans(depth, error))

    def annotate(self, **attributes: Any) -> None:
        """Add to the current span what was not known when it began."""
        if span := self._spans.current():
            self._safely(lambda: span.add(clean.attributes(clean.fields(attributes))))

    def metric(self, name: str, value: float, *, update: int | None = None, **attributes: str) -> None:
        """A gauge's reading; MLflow gets it too, at `update`."""
        if names.known(name, "gauge"):
            self._safely(lambda: self._metric(name, float(value), update or 0, clean.fields(attributes)))

    def count(self, name: str, amount: float = 1, **attributes: str) -> None:
        """Add to a counter."""
        if names.known(name, "counter") and (signals := self._signals):
            self._safely(lambda: signals.add(name, amount, clean.attributes(clean.fields(attributes))))

    def measure(self, name: str, value: float, *, update: int | None = None, **attributes: str) -> None:
        """Record a value of a distribution; an exemplar leads from it to the current span and `update`."""
        if names.known(name, "histogram") and (signals := self._signals):
            about = clean.attributes(clean.fields(attributes)) | ({} if update is None else {"update": update})
            self._safely(lambda: signals.record(name, float(value), about, self._spans.current()))

    def progress(self, description: str, total: int | None, unit: str) -> Progress:
        """A bar, or lines, for something long; a context manager with `update(n, **shown)`."""
        if self._lines is None:
            return Silent()
        progress = Progress(description, total, unit, terminal=self._terminal)
        self._progress.append(progress)
        return progress

    @property
    def trace_id(self) -> str:
        """The trace's id in hex; empty when nothing is recorded."""
        return f"{self._signals.trace_id:032x}" if self._signals else ""

    @property
    def span_id(self) -> str:
        """The current span's id in hex; empty outside every span, and when nothing is recorded."""
        span = self._spans.current()
        return f"{span.ids[1]:016x}" if span else ""

    @property
    def phase_seconds(self) -> Mapping[str, float]:
        """Seconds spent so far in each finished span, by its name."""
        return dict(self._phase_seconds)

    def environment(self) -> dict[str, str]:
        """What a child process needs so that its spans hang below the current one."""
        trace_id, span_id = self._ids()
        return context.to_send(trace_id, span_id) if span_id else {}

    # How a step hears that it should end

    @property
    def stop_requested(self) -> bool:
        """Whether a signal asked to end while signals were held."""
        return self._interrupts.came != 0

    def raise_if_stopped(self) -> None:
        """Raise Interrupted if a signal came."""
        self._interrupts.raise_if_any()

    def hold_signals(self) -> AbstractContextManager[None]:
        """Within, a signal only sets `stop_requested`, so that a training loop can save a checkpoint first."""
        return self._interrupts.held()

    def install_signal_handlers(self) -> None:
        """From here on SIGTERM and SIGINT raise Interrupted in the main thread, unless they are held."""
        self._interrupts.install()

    def close(self) -> None:
        """Write out what is left. Takes a few seconds at most and never raises."""
        self._safely(self._tell_dropped)
        parts, self._signals, outbox = (self._signals, self._feed), None, self._outbox
        for part in (*parts, outbox, self._lines):
            if part is not None:
                self._safely(part.close)
        self._feed = self._outbox = self._lines = None

    # Inside

    def _log(self, event: str, message: str, level: Level, fields: Mapping[str, Any], *, shown: bool) -> None:
        if self._lines is None and self._signals is None:
            return
        message, kept, now = clean.text(message), clean.fields(fields), time.time_ns()
        if self._lines is not None:
            trace_id, span_id = self._ids()
            ids = {"trace_id": f"{trace_id:032x}", "span_id": f"{span_id:016x}" if span_id else ""}
            self._lines.write(event, message, level, kept, ids, now, shown=shown)
        if self._signals is not None:
            self._signals.log(event, message, level, clean.attributes(kept), self._spans.current(), now)

    def _start_span(self, name: str, attributes: Mapping[str, Any]) -> None:
        if self._signals is not None:
            kept = clean.attributes(clean.fields(attributes))
            self._spans.push(self._signals.start_span(name, self._spans.current(), kept))
            if name in _ROOTS:
                self._log("span.started", f"{name} began", "debug", {"span": name}, shown=False)

    def _end_spans(self, depth: int, error: BaseException | None) -> None:
        """End this span, and any that a signal kept from ending between its start and here."""
        while self._signals is not None and self._spans.depth() > depth:
            span = self._spans.current()
            assert span is not None
            result = result_of(error)
            failure = failure_of(error) if error is not None and result != "success" else None
            if failure and span.name in _ROOTS:
                level: Level = "error" if result == "failure" else "warning"
                # The command that ends with this error prints it itself: here it goes to the files alone.
                told = f"{span.name}: {failure['type']}: {failure['message']}\n{failure['stacktrace']}"
                self._log("span.failed", told, level, {"span": span.name}, shown=False)
            self._spans.pop()
            self._signals.end_span(span, failure, (RESULTS[span.name], result) if span.name in RESULTS else None)

    def _metric(self, name: str, value: float, update: int, kept: Mapping[str, Any]) -> None:
        if self._signals is not None:
            self._signals.set(name, value, clean.attributes(kept))
        if self._feed is not None:
            self._feed.add(".".join([name, *(str(kept[part]) for part in sorted(kept))]), value, update)

    def _tell_dropped(self) -> None:
        if self._outbox is not None and (dropped := self._outbox.dropped):
            self.count("telemetry.dropped", dropped)
            self.log("telemetry.dropped", f"{dropped} records of telemetry were dropped", level="warning")

    def _ids(self) -> tuple[int, int]:
        span = self._spans.current()
        return span.ids if span else self._signals.ids if self._signals else (0, 0)

    def _safely(self, act: Callable[[], object]) -> None:
        """Telemetry's own faults are told once, and are nobody else's."""
        try:
            act()
        except Exception as error:
            if not self._told:
                self._told = True
                _complain(f"telemetry: {type(error).__name__}: {redact(str(error))}; the run goes on")


def _complain(message: str) -> None:
    try:
        print(message, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return  # standard error was closed
