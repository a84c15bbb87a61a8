"""Tables of a comparison, for the terminal and the page: a heading or a label first, then a cell for each run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from artifacts import ArtifactError, open_artifact
from artifacts.report import Report
from artifacts.store import Store
from command_line.durations import duration
from pipelines.comparison.choice import time_of
from pipelines.comparison.curves import Curve, Training
from pipelines.comparison.runs import ComparedRun, NodeRun, fingerprint_record
from pipelines.fingerprint import differences
from pipelines.nodes import Node

ABSENT = "-"
_STEPS = 6  # rows of a table of losses
Rows = list[list[str]]


def heads(runs: Sequence[ComparedRun]) -> Rows:
    """Names of the runs: id, pipeline, start, state, version, id in MLflow."""
    rows = [
        ["run", *(run.id[:8] for run in runs)],
        ["pipeline", *(run.pipeline for run in runs)],
        ["started", *(time_of(run.started_at) for run in runs)],
        ["state", *(run.state for run in runs)],
        ["version", *(run.version or ABSENT for run in runs)],
        ["MLflow", *(run.mlflow_id[:8] for run in runs)],
    ]
    return [row for row in rows if row[0] != "version" or set(row[1:]) != {ABSENT}]


def nodes(runs: Sequence[ComparedRun]) -> Rows:
    """Outcome, time and artifact of each node."""
    return [[name, *(_node(run.nodes.get(name)) for run in runs)] for name in _names(runs)]


def parameters(runs: Sequence[ComparedRun], *, every: bool) -> Rows:
    """Parameters that differ between runs that have the node, or `every` one."""
    rows = []
    for name in _names(runs):
        known = [run.nodes[name].parameters if name in run.nodes else None for run in runs]
        for key in dict.fromkeys(key for values in known for key in values or {}):
            given = [values.get(key, ABSENT) for values in known if values]
            if every or len(set(given)) > 1:
                rows.append([f"{name}.{key}", *(values.get(key, ABSENT) if values else ABSENT for values in known)])
    return rows


def scores(runs: Sequence[ComparedRun]) -> Rows:
    """Scores of each model, with 95 % intervals where the reports have them."""
    found = [_scores(run) for run in runs]
    several = len({node for each in found for node, *_ in each}) > 1
    return [
        [f"{node} {label}" if several else label, *(each.get((node, label), ABSENT) for each in found)]
        for node, label in dict.fromkeys(key for each in found for key in each)
    ]


def losses(runs: Sequence[ComparedRun], trainings: Sequence[Training], over: str) -> dict[str, Rows]:
    """By node: training and validation loss of the runs at the same updates, tokens or seconds."""
    tables = {}
    for node in dict.fromkeys(training.node for training in trainings):
        mine = {place: one for one in trainings if one.node == node for place in one.runs}
        if grid := _grid([one.curves["training.loss"] for one in mine.values() if "training.loss" in one.curves], over):
            tables[node] = [
                [f"{x:,.0f} {over}", *(_losses_at(mine.get(i), over, x) for i in range(len(runs)))] for x in grid
            ]
    return tables


def reasons(store: Store, runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """By `old -> new`: the differences of each run's nodes from the oldest run's."""
    oldest, *others = reversed(runs)
    return {
        f"{oldest.id[:8]} -> {run.id[:8]}": [
            line for name in _names([oldest, run]) for line in _reasons(store, name, oldest, run)
        ] or ["nothing differs"]
        for run in others
    }  # fmt: skip


def _names(runs: Sequence[ComparedRun]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.nodes))


def _node(node: NodeRun | None) -> str:
    if node is None:
        return ABSENT
    took = duration(node.seconds) if node.seconds is not None else ""
    return "  ".join(part for part in (node.outcome, took, node.digest[:12]) if part)


def _scores(run: ComparedRun) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for node in run.nodes.values():
        report = _report(node)
        if report:
            lower = "" if report["higher_is_better"] else " (lower is better)"
            for metric in report["metrics"]:
                shown = metric.replace("_", " ").replace("f1", "F1") + (
                    lower if metric == report["primary_metric"] else ""
                )
                for model, known in {"this model": report["metrics"], **report["baselines"]}.items():
                    if metric in known:
                        found[node.id, f"{shown}: {model}"] = _with_interval(known[metric])
            continue
        for name, value in node.maker.data.metrics.items():  # a report that is not on this machine
            if name == "report.score":
                found[node.id, "primary metric: this model"] = f"{value:.4f}"
            elif name.startswith("report.baseline_score."):
                found[node.id, f"primary metric: {name.removeprefix('report.baseline_score.')}"] = f"{value:.4f}"
    return found


def _report(node: NodeRun) -> dict[str, Any]:
    try:
        artifact = open_artifact(node.folder, check=False) if node.folder else None
        return Report(artifact).scores if artifact and artifact.kind == "report" else {}
    except (ArtifactError, OSError):
        return {}  # the work of one that failed, or removed


def _with_interval(score: Mapping[str, float]) -> str:
    interval = f" [{score['low']:.4f}, {score['high']:.4f}]" if "low" in score else ""
    return f"{score['value']:.4f}{interval}"


def _grid(curves: Sequence[Curve], over: str) -> list[float]:
    """Readings of the longest training, evenly apart, its last one included."""
    known = [curve.x[over] for curve in curves if over in curve.x]
    longest = max(known, key=lambda xs: xs[-1], default=[])
    places = {round((n + 1) * len(longest) / _STEPS) - 1 for n in range(_STEPS)} - {-1}
    return [longest[place] for place in sorted(places)]


def _losses_at(training: Training | None, over: str, x: float) -> str:
    if training is None:
        return ABSENT
    values = [_value_at(training.curves.get(metric), over, x) for metric in ("training.loss", "validation.loss")]
    return " / ".join(values) if set(values) != {ABSENT} else ABSENT


def _value_at(curve: Curve | None, over: str, x: float) -> str:
    """The last reading up to `x`; absent before the first one, and where the training had ended."""
    if curve is None or over not in curve.x or not curve.x[over][0] <= x:
        return ABSENT
    xs = curve.x[over]
    step = (xs[-1] - xs[0]) / max(1, len(xs) - 1)
    return f"{curve.y[bisect_right(xs, x) - 1]:.4f}" if x <= xs[-1] + step else ABSENT


def _reasons(store: Store, name: str, old: ComparedRun, new: ComparedRun) -> list[str]:
    """Changes between the fingerprints of a node in two runs, one line each."""
    if name not in old.nodes or name not in new.nodes:
        return [f"{name}: only in {(old if name in old.nodes else new).id[:8]}"]
    nodes = [old.nodes[name], new.nodes[name]]
    if open_ends := [f"{node.outcome} in {run.id[:8]}" for run, node in zip((old, new), nodes, strict=True)
                     if node.outcome not in ("made", "cached")]:  # fmt: skip
        return [f"{name}: {', '.join(open_ends)}"]
    records = [fingerprint_record(store, node) for node in nodes]
    if not all("parts" in record for record in records):
        if nodes[0].fingerprint == nodes[1].fingerprint:
            return []
        absent = [run.id[:8] for run, record in zip((old, new), records, strict=True) if "parts" not in record]
        return [f"{name}: this machine has no record of it in {' and '.join(absent)}; see the parameters"]
    before, after = (record["parts"] for record in records)
    return [f"{name}: {reason}" for reason in differences(Node(name, records[0]["step"], {}, {}), before, after)]
