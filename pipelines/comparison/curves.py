"""Curves of trainings: readings from MLflow, and each update from the training's own log where this machine has it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.comparison.runs import ComparedRun, NodeRun
from steps.curves import SingleUpdates, history, single_updates

if TYPE_CHECKING:
    from mlflow import MlflowClient

TITLES = {
    "training.loss": "Training loss",
    "validation.loss": "Validation loss",
    "validation.score": "Validation score",
    "training.gradient_norm": "Gradient norm",
    "training.learning_rate": "Learning rate",
    "training.tokens_per_second": "Tokens a second",
}
AXES = {"updates": "updates", "tokens": "tokens", "seconds": "seconds since start"}
MOST_POINTS = 20_000  # single updates of a training that are kept; beyond, groups with their lowest and highest loss
_FROM_HISTORY = {  # metric -> part and key of a training's history
    "training.loss": ("training", "loss"), "training.learning_rate": ("training", "learning_rate"),
    "training.gradient_norm": ("training", "gradient_norm"), "training.tokens": ("training", "tokens"),
    "validation.loss": ("validation", "loss"), "validation.score": ("validation", "score"),
}  # fmt: skip

Numbers = list[float]


@dataclass(frozen=True)
class Curve:
    """One metric along a training; `x` has a list for each axis that is known."""

    x: Mapping[str, Numbers]
    y: Numbers


@dataclass(frozen=True)
class Band:
    """Losses of single updates, or the lowest and highest of each group of them; `group` is the updates in one."""

    x: Mapping[str, Numbers]
    low: Numbers
    high: Numbers
    group: int


@dataclass(frozen=True)
class Training:
    """One training, by the places of the runs that made it or took it from the cache."""

    node: str
    runs: list[int]
    curves: Mapping[str, Curve]
    band: Band | None = None
    not_finite: list[int] = field(default_factory=list)  # updates whose loss was no number


def read_trainings(client: MlflowClient, runs: Sequence[ComparedRun]) -> list[Training]:
    """The trainings of these runs, in the order of their nodes; one that several share is listed once."""
    users: dict[str, tuple[NodeRun, list[int]]] = {}
    for place, run in enumerate(runs):
        for node in run.nodes.values():
            known, places = users.get(node.maker.info.run_id, (node, []))
            users[node.maker.info.run_id] = (known if known.folder else node, [*places, place])
    found = [made for node, places in users.values() if (made := _read(client, node, places))]
    order = {node: place for place, node in enumerate(dict.fromkeys(node for run in runs for node in run.nodes))}
    return sorted(found, key=lambda training: (order[training.node], training.runs))


def _read(client: MlflowClient, node: NodeRun, places: list[int]) -> Training | None:
    metrics = node.maker.data.metrics
    single = single_updates(node.folder) if node.folder else None
    if single is None and "training.loss" not in metrics:
        return None
    start = single.start if single else node.maker.info.start_time / 1000
    kept = history(node.folder) if node.folder and node.outcome in ("made", "cached") else {}
    wanted = [*TITLES, "training.tokens"]
    readings = {metric: _readings(client, node, metric, kept) for metric in wanted}
    seconds = _interpolation(
        zip(single.update, (at - start for at in single.ended_at), strict=True) if single
        else ((update, at - start) for update, (_, at) in readings["training.loss"].items() if at is not None)
    )  # fmt: skip
    tokens = _interpolation((update, value) for update, (value, _) in readings["training.tokens"].items())
    known = {"tokens": tokens, "seconds": seconds}

    def axes(updates: Sequence[float]) -> dict[str, Numbers]:
        found = {name: _at(updates, *points) for name, points in known.items() if points[0]}
        return {"updates": list(updates), **found}

    curves = {}
    for metric in TITLES:
        if points := readings[metric]:
            updates = [float(update) for update in points]
            times = [at - start for _, at in points.values() if at is not None]
            exact = {"seconds": times} if len(times) == len(points) else {}
            curves[metric] = Curve(axes(updates) | exact, [value for value, _ in points.values()])
    band, not_finite = _band(single, axes) if single else (None, [])
    return Training(node.id, places, curves, band, not_finite)


Readings = dict[int, tuple[float, float | None]]  # update -> value, and when MLflow got it (None if it did not)


def _readings(client: MlflowClient, node: NodeRun, metric: str, kept: Mapping[str, Any]) -> Readings:
    """MLflow's readings by update, of one written twice the later. A training that went on after a kill has its first
    readings in another run: its history has them."""
    part, key = _FROM_HISTORY.get(metric, ("", ""))
    found: Readings = {entry["update"]: (float(entry[key]), None) for entry in kept.get(part, []) if key in entry}
    if metric in node.maker.data.metrics:
        history_of = client.get_metric_history(node.maker.info.run_id, metric)
        for reading in sorted(history_of, key=lambda reading: int(reading.timestamp)):
            found[int(reading.step)] = (float(reading.value), reading.timestamp / 1000)
    return {update: found[update] for update in sorted(found) if math.isfinite(found[update][0])}


def _interpolation(pairs: Iterable[tuple[int, float]]) -> tuple[Numbers, Numbers]:
    points = list(pairs)
    return ([0.0, *(float(x) for x, _ in points)], [0.0, *(float(y) for _, y in points)]) if points else ([], [])


def _at(updates: Sequence[float], xs: Numbers, ys: Numbers) -> Numbers:
    return [round(float(value), 3) for value in np.interp(updates, xs, ys)]


def _band(single: SingleUpdates, axes: Any) -> tuple[Band | None, list[int]]:
    """Each update, or groups of equal numbers of them, with the updates whose loss was no number apart."""
    pairs = list(zip(single.update, single.loss, strict=True))
    broken = [update for update, loss in pairs if not math.isfinite(loss)]
    pairs = [(update, loss) for update, loss in pairs if math.isfinite(loss)]
    if not pairs:
        return None, broken
    size = math.ceil(len(pairs) / MOST_POINTS)
    groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    updates = [(group[0][0] + group[-1][0]) / 2 for group in groups]
    low = [_short(min(loss for _, loss in group)) for group in groups]
    high = low if size == 1 else [_short(max(loss for _, loss in group)) for group in groups]
    return Band(axes(updates), low, high, size), broken


def _short(value: float) -> float:
    return float(f"{value:.6g}")  # single precision has no more
