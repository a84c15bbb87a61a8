"""Is the difference between two models more than chance? Paired bootstrap, McNemar's test, and how many rows would tell.

Paired bootstrap: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3; Koehn 2004 (W04-3250).
McNemar's test, exact: McNemar 1947, "Note on the sampling error of the difference between correlated proportions".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.task import Task

_POWER = 0.8  # how often as large a difference should be found with the rows that are said to be needed


@dataclass(frozen=True)
class Difference:
    """Candidate less champion, turned so that more is better, with its interval."""

    value: float
    low: float
    high: float
    deviation: float  # of the bootstrap
    drawn: NDArray[np.float64]


def direction(task: Task, metric: str) -> int:
    """1 where more of a metric is better, else -1; only of a task's primary metric it can be less."""
    return 1 if task.higher_is_better or metric != task.primary_metric else -1


def difference(
    task: Task,
    metric: str,
    statistics: tuple[pd.DataFrame, pd.DataFrame],
    samples: int,
    confidence: float,
    seed: int,
    after_each: Callable[[], object] = lambda: None,
) -> Difference:
    """Bootstrap the metric's difference between candidate and champion: `samples` drawings of rows, the same for both."""
    sign = direction(task, metric)
    measures = [task.measure(one) for one in statistics]
    rows = len(statistics[0])

    def ahead(chosen: NDArray[np.int64]) -> float:
        mine, other = (measure(chosen)[metric] for measure in measures)
        return sign * (mine - other)

    random, drawn = np.random.default_rng(seed), np.empty(samples)
    for number in range(samples):
        drawn[number] = ahead(random.integers(0, rows, rows))
        after_each()
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(ahead(np.arange(rows)), float(low), float(high), float(drawn.std()), drawn)


def rows_needed(found: Difference, bar: float, rows: int, confidence: float) -> int | None:
    """Rows needed to show, in four of five tries, that a difference as large as this one is above the bar.

    None if it is not above the bar: more rows would not help. The deviation falls with the root of the rows.
    """
    above = found.value - bar
    if above <= 0:
        return None
    normal = NormalDist()
    reach = (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(_POWER)) * found.deviation
    return max(rows + 1, math.ceil(rows * (reach / above) ** 2))


def mcnemar(candidate: NDArray[np.bool_], champion: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Rows that only the candidate has right, those that only the champion has, and the exact two-sided p-value."""
    from scipy.stats import binomtest

    mine, other = int((candidate & ~champion).sum()), int((champion & ~candidate).sum())
    return mine, other, float(binomtest(mine, mine + other, 0.5).pvalue) if mine + other else 1.0
