"""Figures from the runs of `benchmarks/telemetry.py`: the spread of each kind, and each figure with its bar."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

KINDS = ("off", "control", "files", "live", "refusing", "blackholed")
ON = KINDS[2:]
MOST_CPU, MOST_EXIT = 1.0, 5.0  # percent of the run's, seconds
WHOLE = 5000  # updates of the pipeline's own pretraining
WORST = "worst of files, live, refusing and blackholed backends"
_COUNTED = "counted where it is spent"
Run = dict[str, Any]


def own(run: Run) -> float:
    """CPU seconds of telemetry, counted where they were spent."""
    return sum(run["own"].values())


def of(runs: Sequence[Run], *kinds: str, what: str) -> list[float]:
    """One measure of all runs of these kinds."""
    return [run[what] for run in runs if run["kind"] in kinds]


def counted_share(runs: Sequence[Run], kind: str) -> float:
    """Telemetry's own CPU in percent of the whole run's; the median."""
    return statistics.median(100 * own(run) / run["cpu"] for run in runs if run["kind"] == kind)


def whole_share(runs: Sequence[Run], kind: str) -> float:
    """The same for a pretraining of 5,000 updates: one-time cost stays, cost during training grows."""
    shares = []
    for run in (run for run in runs if run["kind"] == kind):
        longer = WHOLE / run["updates"] - 1
        shares.append(100 * (own(run) + longer * run["train_own"]) / (run["cpu"] + longer * run["train_cpu"]))
    return statistics.median(shares)


def compared_share(runs: Sequence[Run], kind: str) -> float:
    """Extra CPU of a kind over `off`, in percent; medians."""
    off = statistics.median(of(runs, "off", what="cpu"))
    return 100 * (statistics.median(of(runs, kind, what="cpu")) / off - 1)


def noise(runs: Sequence[Run]) -> float:
    """Spread of the CPU time of runs without telemetry, in percent of their median."""
    off = of(runs, "off", "control", what="cpu")
    return 100 * (max(off) - min(off)) / statistics.median(off)


def line(run: Run) -> str:
    """One run."""
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in run["own"].items() if seconds >= 0.005)
    return (
        f"  {run['kind']:11} {run['seconds']:6.1f} s (training {run['train_seconds']:.1f}), exit {run['exit']:4.1f} s, "
        f"CPU {run['cpu']:6.1f} s{f' of which telemetry {own(run):.2f}: {parts}' if own(run) > 0.005 else ''}"
    )


def summary(runs: Sequence[Run]) -> str:
    """Every kind: lowest, median and highest of each measure, and telemetry's share of the CPU by both accounts."""
    lines = ["", f"{'lowest / median / highest':11}"]
    for kind in KINDS:
        if not of(runs, kind, what="cpu"):
            continue
        shown = [
            f"{name} {min(found):.2f} / {statistics.median(found):.2f} / {max(found):.2f} s"
            for name, what in (("wall", "seconds"), ("training", "train_seconds"), ("CPU", "cpu"), ("exit", "exit"))
            for found in [of(runs, kind, what=what)]
        ]
        lines.append(f"{kind:11} {'  '.join(shown)}")
    if of(runs, "off", what="cpu"):
        lines.append(f"CPU of runs without telemetry lies {noise(runs):.1f} % apart")
        for kind in ("control", *ON):
            if of(runs, kind, what="cpu"):
                lines.append(
                    f"{kind:11} CPU {compared_share(runs, kind):+.2f} % against off, "
                    f"counted as telemetry's own {counted_share(runs, kind):.2f} % of the run's, "
                    f"{whole_share(runs, kind):.2f} % of one with {WHOLE} updates"
                )
    return "\n".join(lines)


def figures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The figures of a whole measurement, the worst kind in each."""
    updates, apart = runs[0]["updates"], noise(runs)
    # The time of whole processes shows telemetry's share only if they take the same without it.
    judge, how = (compared_share, "against runs without it") if apart <= MOST_CPU else (counted_share, _COUNTED)
    short, whole = max(judge(runs, kind) for kind in ON), max(whole_share(runs, kind) for kind in ON)
    off = of(runs, "off", "control", what="seconds")
    middle = statistics.median(off)
    slow, fast = 100 * (max(off) / middle - 1), 100 * (min(off) / middle - 1)
    wall = max(100 * (statistics.median(of(runs, kind, what="seconds")) / middle - 1) for kind in ON)
    later = max(of(runs, *ON, what="exit")) - statistics.median(of(runs, "off", "control", what="exit"))
    digests = len({run["digest"] for run in runs})
    return [
        {"what": f"CPU of telemetry in a pretraining of docs, {updates} updates, {how}, {WORST}", "value": round(short, 2),
         "unit": "%", "bar": f"at most {MOST_CPU:g} % (runs without it lie {apart:.1f} % apart)", "ok": short <= MOST_CPU},
        {"what": f"the same scaled to {WHOLE:,} updates, where starting it weighs less, {_COUNTED}",
         "value": round(whole, 2), "unit": "%", "bar": f"at most {MOST_CPU:g} %", "ok": whole <= MOST_CPU},
        {"what": f"wall time of the pretraining against runs without telemetry, {WORST}", "value": round(wall, 1),
         "unit": "%", "bar": f"within the spread of those, {fast:+.1f} to {slow:+.1f} %", "ok": wall <= slow},
        {"what": "different weights, over all these runs", "value": digests, "unit": "digest", "bar": "1 digest",
         "ok": digests == 1},
        {"what": f"its process ends later than without telemetry, {WORST}", "value": round(later, 1), "unit": "s",
         "bar": f"at most {MOST_EXIT:g} s", "ok": later <= MOST_EXIT},
    ]  # fmt: skip
