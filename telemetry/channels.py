"""The output channels of one process: the outbox (OpenTelemetry), log lines, the metrics feed for MLflow."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry import clock, sanitize
from telemetry.context import TraceContext
from telemetry.labels import Labels
from telemetry.mlflow_metrics import Feed
from telemetry.names import ABOUT_SCORES, LABELS

if TYPE_CHECKING:
    from telemetry.export import OpenSpan, Signals
    from telemetry.log_lines import Lines
    from telemetry.outbox import Outbox

Safely = Callable[[Callable[[], object]], None]
Readings = Callable[[], Mapping[str, float]]
_STATES = {"node.state", "pipeline.state"}  # MLflow's runs have states of their own


@dataclass(frozen=True)
class Place:
    """The source and the destinations of records: everything that a worker process needs to continue them."""

    service: str
    about: Mapping[str, str]  # pipeline, run, step, node
    outbox: Path
    feed: Path | None
    log_file: Path | None
    terminal: bool


class Channels:
    """The open channels of this process. A channel that cannot be opened does not affect the others."""

    def __init__(self, place: Place, within: TraceContext | None, safely: Safely) -> None:
        self.place = place
        self.lines: Lines | None = None
        self.signals: Signals | None = None
        self.feed: Feed | None = None
        self._labels = Labels()
        self._outbox: Outbox | None = None
        safely(self._open_lines)
        safely(lambda: self._open_signals(within))
        if place.feed is not None:
            safely(self._open_feed)

    @property
    def dropped_records(self) -> int:
        """Records that the outbox could not take."""
        return self._outbox.dropped if self._outbox else 0

    @property
    def capped_measurements(self) -> int:
        """Measurements whose labels were beyond the bound."""
        return self._labels.capped

    def log(
        self, event: str, message: str, level: str, attributes: Mapping[str, Any], ids: TraceContext,
        within: OpenSpan | None, *, shown: bool,
    ) -> None:  # fmt: skip
        """One log record of now, within the span of `ids`."""
        message, kept, now = sanitize.text(message), sanitize.fields(attributes), clock.now_ns()
        if self.lines is not None:
            trace_ids = {"trace_id": f"{ids.trace_id:032x}", "span_id": f"{ids.span_id:016x}" if ids.span_id else ""}
            self.lines.write(event, message, level, kept, trace_ids, now, shown=shown)
        if self.signals is not None:
            self.signals.log(event, message, level, sanitize.attributes(kept), within, now)

    def gauge(self, name: str, value: float, update: int, attributes: Mapping[str, Any]) -> None:
        """A gauge's reading, for MLflow as well."""
        labels = self._labels.bound(name, attributes)
        if self.signals is not None:
            self.signals.set(name, value, labels)
        if self.feed is not None and name not in _STATES:
            known = [text for label, text in labels.items() if label not in ABOUT_SCORES]
            self.feed.add(".".join([name, *known]), value, update)

    def add(self, name: str, amount: float, attributes: Mapping[str, Any]) -> None:
        """Add to a counter."""
        if self.signals is not None:
            self.signals.add(name, amount, self._labels.bound(name, attributes))

    def measure(self, name: str, value: float, attributes: Mapping[str, Any], within: OpenSpan | None) -> None:
        """Record a value of a distribution. Fields that are not labels go with its exemplar."""
        if self.signals is not None:
            extra = sanitize.attributes(sanitize.fields({n: attributes[n] for n in attributes if n not in LABELS}))
            self.signals.record(name, value, extra | self._labels.bound(name, attributes), within)

    def watch(self, own: Readings) -> None:
        """Write the resource usage of the process and its machine, and `own`, with the metrics."""
        from telemetry.resource_usage import Readings as Used

        if self.signals is not None:
            self.signals.watch(Used(self.place.outbox.parent).all)
            self.signals.watch(own)

    def close(self, safely: Safely) -> None:
        """Flush and close all channels."""
        for part in (self.signals, self.feed, self._outbox, self.lines):
            if part is not None:
                safely(part.close)

    def _open_lines(self) -> None:
        from telemetry.log_lines import Lines

        self.lines = Lines(self.place.log_file, self.place.about, self.place.terminal)

    def _open_signals(self, within: TraceContext | None) -> None:
        from telemetry import host
        from telemetry.export import Signals
        from telemetry.outbox import Outbox

        about = self.place.about
        instance = f"{about['run']}-{about['node'] or about['step']}-{os.getpid()}"
        resource = {
            **host.attributes(),
            "service.namespace": "glassformer",
            "service.name": self.place.service,
            "service.instance.id": instance,
        }
        resource |= {f"glassformer.{name}": value for name, value in about.items() if value}
        self._outbox = Outbox(self.place.outbox)
        self.signals = Signals(resource, self._outbox, within)

    def _open_feed(self) -> None:
        assert self.place.feed is not None
        self.feed = Feed(self.place.feed)


def complain(message: str) -> None:
    """Print a message to standard error, if it is open."""
    try:
        print(message, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return  # it was closed
