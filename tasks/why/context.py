"""Context of an update: the span of its interval, nearby log lines and links."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from artifacts.runs import all_runs
from artifacts.store import Store
from tasks.why.run_lookup import Training, read_made_by
from telemetry.links import Links
from training.update_log import Entry

_MARGIN = 5.0  # seconds around the interval, as Grafana's link from a span to its logs has it
_LINES = 12  # log lines shown


@dataclass(frozen=True)
class Interval:
    """The updates between two readings of the loss, as one process made them: one span."""

    first: int
    last: int
    start: float  # seconds since 1970
    end: float
    trace_id: str
    span_id: str


def interval_of(training: Training, update: int) -> tuple[Interval, Entry] | None:
    """The interval that holds an update, and the update; None if it is not on record."""
    every = int(training.about["log_every"])
    first = (update - 1) // every * every + 1
    entries = training.updates.between(first, first + every - 1)
    entry = next((entry for entry in entries if entry.update == update), None)
    if entry is None:
        return None
    # A training that went on after a kill has two spans for one interval.
    own = [one for one in entries if (one.trace_id, one.span_id) == (entry.trace_id, entry.span_id)]
    start, end = own[0].ended_at - own[0].seconds, own[-1].ended_at
    return Interval(own[0].update, own[-1].update, start, end, entry.trace_id, entry.span_id), entry


def run_behind(store: Store, training: Training, interval: Interval) -> str:
    """The run whose process made these updates: a cached or resumed training was made by another, or by several."""
    trace, at = interval.trace_id, interval.end
    traced = [run.id for run in all_runs(store.root) if trace and run.trace_id == trace and run.started_at <= at]
    by = read_made_by(training.artifact) if training.artifact else {}
    return traced[-1] if traced else str(by.get("run") or training.run)


def log_lines(store: Store, run: str, node: str, interval: Interval, at: float) -> list[dict[str, Any]]:
    """The log lines of the interval's time, the nearest to `at` where there are many; else the last one before it."""
    lines = [line for path in _log_files(store, run, node) for line in _lines(path)]
    lines.sort(key=lambda line: float(line["at"]))
    within = [line for line in lines if interval.start - _MARGIN <= line["at"] <= interval.end + _MARGIN]
    if not within:
        return [line for line in lines if line["at"] < interval.start][-1:]
    nearest = sorted(within, key=lambda line: abs(line["at"] - at))[:_LINES]
    return sorted(nearest, key=lambda line: float(line["at"]))


def _log_files(store: Store, run: str, node: str) -> list[Path]:
    own = store.root / "logs" / run / f"{node}.jsonl"
    return [own] if own.is_file() else sorted((store.root / "logs" / run).glob("*.jsonl"))


def _lines(path: Path) -> list[dict[str, Any]]:
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            at = datetime.fromisoformat(record["time"]).timestamp()
            records.append({"at": at} | {name: str(record[name]) for name in ("time", "level", "event", "message")})
        except (ValueError, KeyError, TypeError):
            continue  # torn by a kill
    return records


def links(store: Store, run: str, node: str, interval: Interval) -> dict[str, str]:
    """Addresses of the trace and of the dashboard, where Grafana has one, a command that gets the trace without it, and the file
    of the interval's flame graph if it was slow."""
    known, times = Links.of(store.root / "outbox"), (interval.start, interval.end)
    found = {"dashboard": known.board("training", *times, run=run)} if known.watched else {}
    graph = store.root / "runs" / run / "profiles" / node / f"interval-{interval.first}-{interval.last}.svg"
    if graph.is_file():
        found["flame_graph"] = str(graph)
    if not interval.trace_id:
        return found
    if known.watched:
        found["trace"] = known.trace(interval.trace_id, *times, span_id=interval.span_id)
    return found | {"trace_command": f"curl -s {known.tempo}/api/traces/{interval.trace_id}"}


def time_text(at: float) -> str:
    """A time as logs write it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
