"""`observe`: logs, spans, metrics and progress of a step, and the signals that ask it to end.

Telemetry never raises into a step and never changes its result: an error here is reported once on standard error and the
step goes on; nothing here draws from a random generator that a step could have seeded.

The wrapper and the pipeline driver open one for their process::

    observe = Observe.open("glassformer", pipeline="docs", run=run_id, step="pretrain", node="pretrain",
                           outbox=home / "outbox", feed=..., log_file=...)
    observe.install_signal_handlers()
    with observe.span("step"):
        ...                              # observe.environment() gives a child process the current span
    observe.close()

The trace is the one of `TRACEPARENT` in the environment, else a new one, the same from `open` to `close`. Its spans are kept
unless `telemetry/sampling.py` leaves the trace out; its ids are in the logs either way.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from redaction import redact
from telemetry import context, names, sanitize, workers
from telemetry.channels import Channels, Place, complain
from telemetry.context import TraceContext
from telemetry.interrupts import Interrupted, Interrupts
from telemetry.progress import Progress, Silent, Waiting, is_side_by_side
from telemetry.spans import RESULTS, Stacks, failure_of, result_of

if TYPE_CHECKING:
    from telemetry.export import Request
    from telemetry.profiler import Profiler

Level = Literal["debug", "info", "warning", "error"]
_ROOTS = ("pipeline", "node", "step")  # spans whose start and failure are logged
_NOWHERE = TraceContext(0, 0)


class Observe:
    """Logs, spans, metrics and progress of one process, and its signals."""

    def __init__(self) -> None:
        self._open: Channels | None = None
        self._worker: tuple[Place, TraceContext] | None = None  # what a worker opens with its first record
        self._opening = threading.Lock()
        self._spans = Stacks()
        self._phase_seconds: dict[str, float] = {}
        self._interrupts = Interrupts()
        self._told = False
        self._progress: list[Progress] = []
        self._profiler: Profiler | None = None

    @classmethod
    def silent(cls) -> Observe:
        """An Observe that records nothing, for tests and for code outside a step."""
        return cls()

    @classmethod
    def open(
        cls, service: str, *, pipeline: str, run: str, step: str, node: str, outbox: Path, feed: Path | None = None,
        log_file: Path | None = None, terminal: bool | None = None, usage: bool = True,
    ) -> Observe:  # fmt: skip
        """Begin recording. `feed` is the file for numbers that MLflow should get, `log_file` for JSON lines.

        Without `usage`, what this process uses is not recorded: it speaks for another, which has died.
        """
        observe = cls()
        about = redact({"pipeline": pipeline, "run": run, "step": step, "node": node})
        terminal = sys.stderr.isatty() and not is_side_by_side() if terminal is None else terminal
        place = Place(service, about, outbox, feed, log_file, terminal)
        channels = observe._open = Channels(place, context.incoming(), observe._safely)
        if usage:
            observe._safely(lambda: channels.watch(observe._progress_readings))
        workers.follow(observe)
        return observe

    @classmethod
    def within(cls, place: Place, ids: TraceContext) -> Observe:
        """An Observe for a worker process: it continues the records of `place`, under the span of `ids`."""
        observe = cls()
        observe._worker = (place, ids)
        workers.follow(observe)
        return observe

    def _progress_readings(self) -> dict[str, float]:
        return {"step.progress": sum(shown.done for shown in self._progress)}

    def became_worker(self) -> None:
        """Drop everything of the parent's in a forked child: channels, open spans, progress bars."""
        if self._open is not None:
            self._worker = (self._open.place, self._ids())
        self._open, self._opening = None, threading.Lock()
        self._spans, self._progress, self._profiler = Stacks(), [], None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place of the records and the current span, for a spawned worker."""
        if self._open is not None:
            return workers.unpickle, (self._open.place, self._ids())
        return workers.unpickle, self._worker or (None, _NOWHERE)

    def profile(self) -> None:
        """Draw flame graphs of this process, a step's, next to its run."""
        self._tell(self._start_profiler)

    # Records of a step

    def log(self, event: str, message: str, *, level: Level = "info", **fields: Any) -> None:
        """One structured record. `event` is a name of telemetry/names.py; debug goes to the files alone."""
        if names.is_known(event, "event"):
            self._safely(lambda: self._log(event, message, level, fields, shown=level != "debug"))

    def phase(self, name: str, **attributes: Any) -> AbstractContextManager[None]:
        """A part of a step's work as a span (`read`, `train`); its seconds are kept. Never one a batch."""
        return self.span(name, **attributes)

    def span(self, name: str, **attributes: Any) -> AbstractContextManager[None]:
        """A span around the block."""
        return self.span_since(name, None, attributes)

    @contextmanager
    def span_since(self, name: str, began_ns: int | None, attributes: Mapping[str, Any]) -> Iterator[None]:
        """A span that began at `began_ns` (since 1970), before the block, and ends with it."""
        started = time.monotonic()
        depth = self._spans.depth()
        if names.is_known(name, "span"):
            self._safely(lambda: self._start_span(name, attributes, began_ns))
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = self._interrupts.meant_by(raised)
            if error is raised:
                raise
            raise error from raised
        finally:
            seconds = time.monotonic() - started
            self._phase_seconds[name] = self._phase_seconds.get(name, 0.0) + seconds
            self._safely(lambda: self._link_profile(name, seconds))
            self._safely(lambda: self._end_spans(depth, error))
            if depth == 0 and isinstance(error, Interrupted):
                self._interrupts.acknowledge()

    def past(self, name: str, began_ns: int, **attributes: Any) -> None:
        """Record a span that began at `began_ns` (since 1970) and ends now."""
        with self.span_since(name, began_ns, attributes):
            pass

    def request(self, done: Request) -> bool:
        """Record a request that a server has answered as a span; False if it is left out. Many are in progress at once in one
        thread, so they are not on the stack of open spans and are recorded when they end."""
        recorded: list[bool] = []
        if names.is_known(done.name, "span"):
            kept = replace(done, attributes=sanitize.attributes(sanitize.fields(done.attributes)))
            self._tell(lambda out: recorded.append(out.signals.request(kept)) if out.signals else None)
        return any(recorded)

    def annotate(self, **attributes: Any) -> None:
        """Add attributes to the current span."""
        if span := self._spans.current():
            self._safely(lambda: span.add(sanitize.attributes(sanitize.fields(attributes))))

    def metric(self, name: str, value: float, *, update: int | None = None, **attributes: str) -> None:
        """A gauge's reading; MLflow gets it too, at `update`."""
        if names.is_known(name, "gauge"):
            self._tell(lambda out: out.gauge(name, float(value), update or 0, attributes))

    def count(self, name: str, amount: float = 1, **attributes: str) -> None:
        """Add to a counter."""
        if names.is_known(name, "counter"):
            self._tell(lambda out: out.add(name, amount, attributes))

    def measure(self, name: str, value: float, *, update: int | None = None, **attributes: str) -> None:
        """Record a value of a distribution; an exemplar leads from it to the current span and `update`."""
        if names.is_known(name, "histogram"):
            about = attributes if update is None else {**attributes, "update": update}
            span = self._spans.current()
            self._tell(lambda out: out.measure(name, float(value), about, span))

    def progress(self, description: str, total: int | None, unit: str, *, shown: bool = True) -> Progress:
        """A bar, or lines, for something long; a context manager with `update(n, **shown)`. One that is not shown is only told to the
        boards."""
        channels = self._channels
        if not shown:
            self._progress.append(silent := Silent())
            return silent
        if channels is None or channels.lines is None:
            return Silent()
        description = self._with_node(description, channels)
        progress = Progress(description, total, unit, terminal=channels.place.terminal, as_json=channels.lines.as_json)
        self._progress.append(progress)
        return progress

    def waiting(self, description: str) -> Progress:
        """The same for an operation of unknown length: the elapsed time."""
        channels = self._channels
        if channels is None or channels.lines is None:
            return Silent()
        description = self._with_node(description, channels)
        return Waiting(description, terminal=channels.place.terminal, as_json=channels.lines.as_json)

    @property
    def trace_id(self) -> str:
        """The trace's id in hex; empty when nothing is recorded."""
        trace_id = self._ids().trace_id
        return f"{trace_id:032x}" if trace_id else ""

    @property
    def span_id(self) -> str:
        """The current span's id in hex; empty outside every span, and when nothing is recorded."""
        span = self._spans.current()
        return f"{span.ids.span_id:016x}" if span else ""

    @property
    def phase_seconds(self) -> Mapping[str, float]:
        """Seconds spent so far in each finished span, by its name."""
        return dict(self._phase_seconds)

    def environment(self) -> dict[str, str]:
        """Environment variables that place a child process's spans below the current one."""
        ids = self._ids()
        return context.to_send(ids) if ids.span_id else {}

    # Signals that ask a step to end

    @property
    def stop_requested(self) -> bool:
        """Whether a signal asked to end while signals were held."""
        return self._interrupts.came != 0

    def raise_if_stopped(self) -> None:
        """Raise Interrupted if a signal came."""
        self._interrupts.raise_if_any()

    def hold_signals(self) -> AbstractContextManager[None]:
        """Within, a signal only sets `stop_requested`, so that a training loop can save a checkpoint first."""
        return self._interrupts.hold()

    def install_signal_handlers(self) -> None:
        """From here on SIGTERM and SIGINT raise Interrupted in the main thread, unless they are held."""
        self._interrupts.install()

    def signal_heard(self) -> None:
        """An Interrupted has been handled. The end of an outermost span and `close` call this too."""
        self._interrupts.acknowledge()

    def close(self) -> None:
        """Flush and close. Takes a few seconds at most and never raises."""
        self._interrupts.acknowledge()
        if (profiler := self._profiler) is not None:
            self._safely(profiler.close)
        if self._open is not None:
            self._safely(self._tell_losses)
            channels, self._open, self._worker = self._open, None, None
            channels.close(self._safely)

    # Inside

    def _with_node(self, description: str, channels: Channels) -> str:
        """A description that says of which node it is, where several write."""
        about = channels.place.about
        if not about["node"] or not is_side_by_side() or description == about["node"]:
            return description
        return about["node"] if description == about["step"] else f"{about['node']}: {description}"

    @property
    def _channels(self) -> Channels | None:
        """The open channels; a worker opens its own here, once."""
        if self._open is None and self._worker is not None:
            with self._opening:
                if self._open is None and self._worker is not None:
                    self._open = Channels(*self._worker, self._safely)
                    workers.close_at_exit(self)
        return self._open

    def _tell(self, act: Callable[[Channels], object]) -> None:
        self._safely(lambda: act(channels) if (channels := self._channels) else None)

    def _log(self, event: str, message: str, level: Level, fields: Mapping[str, Any], *, shown: bool) -> None:
        if channels := self._channels:
            channels.log(event, message, level, fields, self._ids(), self._spans.current(), shown=shown)

    def _start_span(self, name: str, attributes: Mapping[str, Any], began_ns: int | None = None) -> None:
        if (channels := self._channels) and channels.signals:
            kept = sanitize.attributes(sanitize.fields(attributes))
            self._spans.push(channels.signals.start_span(name, self._spans.current(), kept, began_ns))
            if name in _ROOTS:
                self._log("span.started", f"{name} began", "debug", {"span": name}, shown=False)

    def _end_spans(self, depth: int, error: BaseException | None) -> None:
        """End this span, and any inner span that a signal kept from ending."""
        while (channels := self._open) and channels.signals and self._spans.depth() > depth:
            span = self._spans.current()
            assert span is not None
            result = result_of(error)
            failure = failure_of(error) if error is not None and result != "success" else None
            if failure and span.name in _ROOTS:
                level: Level = "error" if result == "failure" else "warning"
                # The command that ends with this error prints it itself: here it goes to the files alone.
                text = f"{span.name}: {failure['type']}: {failure['message']}\n{failure['stacktrace']}"
                self._log("span.failed", text, level, {"span": span.name}, shown=False)
            self._spans.pop()
            channels.signals.end_span(span, failure, (RESULTS[span.name], result) if span.name in RESULTS else None)

    def _start_profiler(self, channels: Channels) -> None:
        from telemetry.links import Links
        from telemetry.profiler import Profiler, is_wanted

        if not is_wanted():
            return
        about, home = channels.place.about, channels.place.outbox.parent
        links, run, node = Links.of(channels.place.outbox), about["run"], about["node"]

        folder = home / "runs" / run / "profiles" / node
        self._profiler = Profiler(folder, lambda name: links.flame_graph(run, node, name), self)

    def _link_profile(self, name: str, seconds: float) -> None:
        """Let the span that ends lead to its flame graph, if it has one."""
        profiler, span = self._profiler, self._spans.current()
        if profiler is None or span is None or span.name != name:
            return
        if address := profiler.span_ended(name, seconds, span.attributes):
            span.add({"flame_graph": address})

    def _tell_losses(self) -> None:
        if (channels := self._open) and (count := channels.dropped_records):
            self.count("telemetry.dropped", count)
            self.log("telemetry.dropped", f"{count} records of telemetry were dropped", level="warning")
        if channels and (count := channels.capped_measurements):
            self.count("telemetry.capped", count)
            self.log("telemetry.capped", f"{count} measurements had labels beyond the bound: `other`", level="warning")

    def _ids(self) -> TraceContext:
        if span := self._spans.current():
            return span.ids
        if self._open is not None:
            return self._open.signals.ids if self._open.signals else _NOWHERE
        return self._worker[1] if self._worker else _NOWHERE

    def _safely(self, act: Callable[[], object]) -> None:
        """Report telemetry's own faults once, and never raise them."""
        try:
            act()
        except Exception as error:
            if not self._told:
                self._told = True
                complain(f"telemetry: {type(error).__name__}: {redact(str(error))}; the run goes on")
