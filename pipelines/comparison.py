"""`compare`: two or more runs side by side: artifacts of each node, reasons for differences, scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from artifacts import ArtifactError, atomic, open_artifact
from artifacts.errors import UserError
from artifacts.report import Report
from artifacts.runs import Run, all_runs
from artifacts.store import Store
from pipelines.fingerprint import differences
from pipelines.nodes import Node

_GAP = "  "


def compare(words: Sequence[str]) -> int:
    """Print how the runs with these ids differ, each from the first; without ids, the newest two."""
    store = Store.default()
    runs = _find_runs(list(all_runs(store.root)), words)
    ids = [run.id[:8] for run in runs]
    _table(
        [
            ["run", *ids],
            ["pipeline", *(run.pipeline for run in runs)],
            ["started", *(time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at)) for run in runs)],
            ["version", *(run.version or "-" for run in runs)],
            *(
                [node, *(_digest(run, node) for run in runs)]
                for node in dict.fromkeys(node for run in runs for node in run.nodes)
            ),
            *_scores(store, runs),
        ]
    )
    for run, name in zip(runs[1:], ids[1:], strict=True):
        print(f"\n{ids[0]} -> {name}")
        lines = [line for node in runs[0].nodes for line in _reasons(store, node, runs[0], run)]
        print("\n".join(f"{_GAP}{line}" for line in lines or ["nothing differs"]))
    return 0


def _find_runs(known: list[Run], words: Sequence[str]) -> list[Run]:
    if not words and len(known) < 2:
        raise UserError("fewer than two runs are known here; run a pipeline again with another setting", 2)
    if len(words) == 1:
        raise UserError(f"{words[0]}: give a second run to compare it with; `runs` lists them", 2)
    found = known[-2:] if not words else []
    for word in words:
        same = [run for run in known if run.id.startswith(word)]
        if len(same) != 1:
            raise UserError(f"{word}: {len(same) or 'no'} runs have an id that begins so; `runs` lists them", 2)
        found += same
    return found


def _digest(run: Run, node: str) -> str:
    found = run.nodes.get(node, {})
    return str(found.get("digest") or found.get("state") or "-")[:12]


def _reasons(store: Store, node: str, old: Run, new: Run) -> list[str]:
    """Changes between the fingerprints of a node in two runs, one line each."""
    records = [_record(store, run.nodes.get(node, {})) for run in (old, new)]
    if not all(records):
        return [] if node in new.nodes else [f"{node}: only in {old.id[:8]}"]
    before, after = (record["parts"] for record in records)
    return [f"{node}: {reason}" for reason in differences(Node(node, records[0]["step"], {}, {}), before, after)]


def _record(store: Store, node: dict[str, Any]) -> dict[str, Any]:
    """The record of a finished node; an empty one if it did not finish or was removed."""
    for file in (store.root / "records").glob(f"*/{node.get('fingerprint') or '-'}.json"):
        record: dict[str, Any] = atomic.read_json(file)
        return record
    return {}


def _scores(store: Store, runs: Sequence[Run]) -> list[list[str]]:
    """A row for each metric of the runs' reports."""
    found = [_metrics(store, run) for run in runs]
    return [
        [name, *(f"{metrics[name]:.4f}" if name in metrics else "-" for metrics in found)]
        for name in dict.fromkeys(name for metrics in found for name in metrics)
    ]


def _metrics(store: Store, run: Run) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for node, state in run.nodes.items():
        try:
            artifact = open_artifact(store.root / state["path"], check=False)
            scores = Report(artifact).scores["metrics"] if artifact.kind == "report" else {}
        except (KeyError, ArtifactError):
            continue  # did not finish, or was removed
        reports = sum("report" in str(other.get("path")) for other in run.nodes.values())
        metrics |= {name if reports == 1 else f"{node} {name}": float(each["value"]) for name, each in scores.items()}
    return metrics


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(_GAP.join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
