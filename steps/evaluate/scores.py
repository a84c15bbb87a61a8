"""Scores with their intervals, and the differences to the baselines, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from tasks.task import Task
    from telemetry import Observe

_LEVEL = 0.95


def compare(
    task: Task, questions: pd.DataFrame, answers: Mapping[str, pd.DataFrame], samples: int, seed: int, observe: Observe
) -> dict[str, dict[str, Any]]:
    """By the name of who answered: each metric's value and interval, and how far the first one is above it.

    Percentile bootstrap over rows (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3). Every
    sample takes the same rows for all, so that differences are paired (Koehn 2004, W04-3250).
    """
    names = list(answers)
    statistics = {name: task.statistics(questions, answer) for name, answer in answers.items()}
    values = {name: task.metrics(statistics[name]) for name in names}
    measures = {name: task.measure(statistics[name]) for name in names}
    drawn: dict[str, dict[str, list[float]]] = {name: {metric: [] for metric in values[name]} for name in names}
    random = np.random.default_rng(seed)
    with observe.progress("bootstrap", samples, "samples") as progress:
        for _ in range(samples):
            rows = random.integers(0, len(questions), len(questions))
            for name in names:
                for metric, value in measures[name](rows).items():
                    drawn[name][metric].append(value)
            progress.update()
    first = names[0]
    return {
        name: {
            metric: _with_interval(values[name][metric], drawn[name][metric])
            | ({} if name == first else {"ahead": _with_interval(
                values[first][metric] - value, np.subtract(drawn[first][metric], drawn[name][metric]).tolist()
            )})
            for metric, value in values[name].items()
        }
        for name in names
    }  # fmt: skip


def _with_interval(value: float, drawn: list[float]) -> dict[str, float]:
    if not drawn:
        return {"value": round(value, 6)}
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6)}
