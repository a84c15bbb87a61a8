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
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from telemetry import context, names
from telemetry.feed import Feed
from telemetry.progress import Progress, Silent
from telemetry.redact import redact

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from telemetry.export import Signals
    from telemetry.lines import Lines
    from telemetry.outbox import Outbox

Level = Literal["debug", "info", "warning", "error"]


class Interrupted(BaseException):
    """The run was asked to end by a signal (SIGTERM or SIGINT); what could be saved has been saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"ended by signal {signal_number}")
        self.signal_number = signal_number


class Observe:
    """Logs, spans, metrics and progress of one process, and its signals."""

    def __init__(self) -> None:
        self._signals: Signals | None = None
        self._lines: Lines | None = None
        self._feed: Feed | None = None
        self._outbox: Outbox | None = None
        self._terminal = False
        self._spans: list[Span] = []
        self._phase_seconds: dict[str, float] = {}
        self._holding = 0
        self._stop = 0
        self._told = False

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
        observe._terminal = sys.stderr.isatty() if terminal is None else terminal
        about = {"pipeline": pipeline, "run": run, "step": step, "node": node}
        observe._safely(lambda: observe._open(service, about, outbox, feed, log_file))
        return observe

    def _open(self, service: str, about: dict[str, str], outbox: Path, feed: Path | None, log_file: Path | None) -> None:
        from telemetry.lines import Lines

        self._lines = Lines(log_file, about, self._terminal)
        if feed is not None:
            self._feed = Feed(feed)
        from telemetry.export import Signals
        from telemetry.outbox import Outbox

        resource = {"service.name": service, "service.instance.id": f"{about['run']}-{about['node'] or about['step']}-{os.getpid()}"}
        resource |= {f"glassformer.{name}": value for name, value in about.items() if value}
        self._outbox = Outbox(outbox)
        self._signals = Signals(resource, self._outbox)

    # What a step says

    def log(self, event: str, message: str, *, level: Level = "info", **fields: Any) -> None:
        """One structured record. `event` is a name of telemetry/names.py."""
        if self._lines is not None and names.known(event, ("event",)):
            self._safely(lambda: self._log(event, redact(message), level, redact(fields)))

    def phase(self, name: str, **attributes: Any) -> Any:
        """A part of a step's work as a span (`read`, `train`); its seconds are kept. Never one a batch."""
        return self.span(name, **attributes)

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Iterator[None]:
        """A span around what is done within."""
        started = time.monotonic()
        entered = self._enter(name, attributes)
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._phase_seconds[name] = self._phase_seconds.get(name, 0.0) + time.monotonic() - started
            if entered:
                self._safely(lambda: self._leave(error))

    def metric(self, name: str, value: float, *, update: int | None = None, **attributes: str) -> None:
        """A gauge's reading; MLflow gets it too, at `update`."""
        if self._signals is not None and names.known(name, ("gauge",)):
            self._safely(lambda: self._metric(name, float(value), update or 0, attributes))

    def count(self, name: str, amount: float = 1, **attributes: str) -> None:
        """Add to a counter."""
        signals = self._signals
        if signals is not None and names.known(name, ("counter",)):
            self._safely(lambda: signals.add(name, amount, redact(attributes)))

    def measure(self, name: str, value: float, **attributes: str) -> None:
        """Record a value of a distribution."""
        signals = self._signals
        if signals is not None and names.known(name, ("histogram",)):
            self._safely(lambda: signals.record(name, float(value), redact(attributes)))

    def progress(self, description: str, total: int | None, unit: str) -> Progress:
        """A bar, or lines, for something long; a context manager with `update(n, **shown)`."""
        return Silent() if self._lines is None else Progress(description, total, unit, terminal=self._terminal)

    @property
    def trace_id(self) -> str:
        """The trace's id in hex; empty when nothing is recorded."""
        if self._spans:
            return f"{self._spans[-1].get_span_context().trace_id:032x}"
        received = context.received()
        return f"{received[0]:032x}" if received and self._lines is not None else ""

    @property
    def phase_seconds(self) -> Mapping[str, float]:
        """Seconds spent so far in each finished span, by its name."""
        return dict(self._phase_seconds)

    def environment(self) -> dict[str, str]:
        """What a child process needs so that its spans hang below the current one."""
        if not self._spans:
            return {}
        about = self._spans[-1].get_span_context()
        return context.to_send(about.trace_id, about.span_id)

    # How a step hears that it should end

    @property
    def stop_requested(self) -> bool:
        """Whether a signal asked to end while signals were held."""
        return self._stop != 0

    def raise_if_stopped(self) -> None:
        """Raise Interrupted if a signal came."""
        if self._stop:
            raise Interrupted(self._stop)

    @contextmanager
    def hold_signals(self) -> Iterator[None]:
        """Within, a signal only sets `stop_requested`, so that a training loop can save a checkpoint first."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
        if not self._holding:
            self.raise_if_stopped()

    def install_signal_handlers(self) -> None:
        """From here on SIGTERM and SIGINT raise Interrupted in the main thread, unless they are held."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def close(self) -> None:
        """Write out what is left. Takes a few seconds at most and never raises."""
        for part in (self._signals, self._feed, self._outbox, self._lines):
            if part is not None:
                self._safely(part.close)
        self._signals = self._feed = self._outbox = self._lines = None

    # Inside

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = number
        if not self._holding:
            raise Interrupted(number)

    def _log(self, event: str, message: str, level: Level, fields: Mapping[str, Any]) -> None:
        assert self._lines is not None
        span = self._spans[-1] if self._spans else None
        ids = {}
        if span is not None:
            about = span.get_span_context()
            ids = {"trace_id": f"{about.trace_id:032x}", "span_id": f"{about.span_id:016x}"}
        self._lines.write(event, message, level, fields, ids)
        if self._signals is not None:
            self._signals.log(event, message, level, _flat(fields), span)

    def _enter(self, name: str, attributes: Mapping[str, Any]) -> bool:
        if self._signals is None or not names.known(name, ("span",)):
            return False
        before = len(self._spans)
        self._safely(lambda: self._start_span(name, redact(dict(attributes))))
        return len(self._spans) > before

    def _start_span(self, name: str, attributes: Mapping[str, Any]) -> None:
        assert self._signals is not None
        self._spans.append(self._signals.start_span(name, self._spans[-1] if self._spans else None, _flat(attributes)))
        if name in ("pipeline", "node", "step"):
            self.log("span.started", f"{name} began", level="debug", span=name)

    def _leave(self, error: BaseException | None) -> None:
        assert self._signals is not None
        self._signals.end_span(self._spans.pop(), error, redact(str(error)) if error else "")

    def _metric(self, name: str, value: float, update: int, attributes: Mapping[str, str]) -> None:
        assert self._signals is not None
        self._signals.set(name, value, redact(dict(attributes)))
        if self._feed is not None:
            key = ".".join([name, *(str(attributes[part]) for part in sorted(attributes))])
            self._feed.add(key, value, update)

    def _safely(self, act: Callable[[], object]) -> None:
        """Telemetry's own faults are told once, and are nobody else's."""
        try:
            act()
        except Exception as error:
            if not self._told:
                self._told = True
                where = threading.current_thread().name
                print(f"telemetry: {type(error).__name__}: {redact(str(error))} (in {where}); the run goes on", file=sys.stderr)
            if os.environ.get("GLASSFORMER_STRICT_TELEMETRY") == "raise":
                raise


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as attributes: scalars stay, everything else becomes text."""
    return {name: value if isinstance(value, str | bool | int | float) else str(value) for name, value in fields.items()}
