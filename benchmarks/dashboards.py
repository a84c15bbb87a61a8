"""Every query of every dashboard, answered by live backends that hold 200 synthetic runs.

    python -m benchmarks.dashboards [--runs 200] [--asked 3] [--shown 10]

The runs (`benchmarks/synthetic_runs.py`) begin over the last 20 hours. Each query is asked over its dashboard's own time
range and over 24 hours, several times; variables stand at what a dashboard opens with. The bar holds for the median of
each query; the slowest single answer, mostly the first, is recorded too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import backends, synthetic_runs
from benchmarks.results import keep
from grafana.boards import BOARDS, as_json
from grafana.live import Backends, QueryError, last, panels

ROOT = Path(__file__).resolve().parent.parent
RUNS, LATEST_HOURS, MOST_SECONDS = 200, 20.0, 1.0


@dataclass(frozen=True)
class QueryResult:
    """One query over one time range, and the seconds of each answer."""

    board: str
    panel: str
    source: str
    hours: float
    seconds: tuple[float, ...]
    cpu: float  # seconds of the backend's process for one answer, its other work included
    series: int

    @property
    def median(self) -> float:
        """The median that is compared with the bar."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        times = " ".join(f"{one:.2f}" for one in self.seconds)
        return (
            f"{self.median:5.2f} s ({times}; CPU {self.cpu:.2f})  {self.board} / {self.panel}, {self.hours:g} h, "
            f"{self.source}, {self.series} series"
        )


def fill(live: backends.Live, runs: int, folder: Path) -> None:
    """Write synthetic runs into an outbox and deliver them."""
    started = time.perf_counter()
    count = synthetic_runs.write(folder / "outbox", synthetic_runs.runs(runs, LATEST_HOURS))
    print(
        f"{runs} runs recorded and replayed into the outbox, {count:,} requests: {time.perf_counter() - started:.0f} s"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "telemetry", "replay", "--outbox", str(folder / "outbox"), "--wait", "60"],
        cwd=ROOT,
        env=os.environ | live.environment,
        capture_output=True,
        text=True,
    )
    if done.returncode or list((folder / "outbox").glob("dead-letter/*")):
        sys.exit(f"the synthetic runs were not all taken:\n{done.stdout}{done.stderr}")
    print(f"{done.stdout.strip()}: {time.perf_counter() - started:.0f} s", flush=True)


def ask(live: backends.Live, count: int) -> list[QueryResult]:
    """Ask every query of every board, over both time ranges."""
    results = []
    for name, build in BOARDS.items():
        board = json.loads(as_json(build()))
        for hours in sorted({_hours(board["time"]["from"]), 24.0}):
            backend = Backends(live.addresses, *last(hours))
            backend.fill_variables(board)
            for panel in panels(board):
                for target in panel["targets"]:
                    source = target["datasource"]["type"]
                    if source not in live.addresses:
                        print(f"{name} / {panel['title']}: there is no {source} to ask", flush=True)
                        continue
                    before = _cpu(live, source)
                    seconds, series = _answers(backend, panel, target, count)
                    cpu = (_cpu(live, source) - before) / count
                    results.append(QueryResult(name, panel["title"], source, hours, seconds, cpu, series))
    return results


def _answers(
    backend: Backends, panel: Mapping[str, object], target: Mapping[str, object], asked: int
) -> tuple[tuple[float, ...], int]:
    """Seconds of each answer, and how many series the last one had."""
    seconds, series = [], 0
    for _ in range(asked):
        started = time.perf_counter()
        try:
            series = len(backend.ask(panel, target))
        except QueryError as error:
            sys.exit(f"{panel['title']}: {error}")
        seconds.append(time.perf_counter() - started)
    return tuple(seconds), series


def _cpu(live: backends.Live, source: str) -> float:
    return sum(psutil.Process(live.processes[source]).cpu_times()[:2])


def _hours(start: str) -> float:
    """The hours of `now-6h`."""
    match = re.fullmatch(r"now-(\d+)h", start)
    assert match, start
    return float(match[1])


def main() -> None:
    """Fill the backends, ask, tell the slowest queries and keep the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"synthetic runs (default: {RUNS})")
    parser.add_argument("--asked", type=int, default=3, help="how often each query is asked (default: 3)")
    parser.add_argument("--shown", type=int, default=10, help="how many of the slowest are shown (default: 10)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="glassformer-dashboards-"))
    try:
        with backends.live() as live:
            fill(live, options.runs, folder)
            results = ask(live, options.asked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for one in sorted(results, key=lambda one: -one.median)[: options.shown]:
        print(one)
    slowest, single = max(one.median for one in results), max(max(one.seconds) for one in results)
    late = [one for one in results if one.median > MOST_SECONDS]
    print(
        f"{len(results)} queries, {len(late)} slower than {MOST_SECONDS:g} s; the slowest single answer took {single:.2f} s"
    )
    what = f"slowest query of all dashboards after {options.runs} runs, over its own time range and 24 h"
    figure = {
        "what": what,
        "value": round(slowest, 2),
        "unit": "s",
        "bar": f"at most {MOST_SECONDS:g} s",
        "ok": not late,
    }
    if options.runs == RUNS:
        keep("dashboards", "python -m benchmarks.dashboards", [figure])
    else:  # a trial's figure is shown and not kept
        print(json.dumps(figure, indent=2))


if __name__ == "__main__":
    main()
