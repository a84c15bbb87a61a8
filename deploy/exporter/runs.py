"""Runs by state and their ages, read in bounded parts: each run once, open runs again until they end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
AGES = (3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)  # seconds; running runs older than these are counted
_ENDED = ("FINISHED", "FAILED", "KILLED")
_PAGE = 100  # MLflow's answer to 500 takes twelve times as long
_BUDGET = 3.0  # seconds of one collection for new runs; what is left comes with the next
_OPEN = 100  # open runs asked for in one collection, in turn
_OVERLAP = 60_000  # ms; a run may be written down later than it started, and clocks differ
_RECOUNT_EVERY = 3600.0  # seconds; runs that were deleted, restored or written late: a count from the start finds them


@dataclass
class _Count:
    """Runs counted from the oldest on."""

    ended: Counter[str] = field(default_factory=Counter)
    open: dict[str, tuple[str, float]] = field(default_factory=dict)  # run id -> state, since; longest unasked first
    last_ended: dict[str, float] = field(default_factory=dict)  # state -> when, seconds since 1970
    last_started: float = 0.0
    complete: bool = False  # whether the newest was reached once
    _since: int = 0  # start of the runs that this pass reads, ms
    _seen: dict[str, int] = field(default_factory=dict)  # run id -> start; of those that the next pass meets again
    _token: str | None = None  # where the pass goes on

    def read(self, client: MlflowClient, experiments: list[str], budget: float) -> None:
        """Runs that started since the last pass, oldest first: a page, and more while there is time."""
        until = time.monotonic() + budget
        while True:
            page = client.search_runs(
                experiments,
                f"attributes.start_time >= {self._since}",
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=self._token,
            )
            for run in page:
                if run.info.run_id not in self._seen:
                    self._seen[run.info.run_id] = run.info.start_time
                    self._keep(run.info)
            self._trim()
            self._token = page.token or None
            if not self._token:
                self._since, self.complete = self._edge(), True
                return
            if time.monotonic() > until:
                return

    def ask_open(self, client: MlflowClient, experiments: list[str]) -> None:
        """Refresh the state of open runs; one that is not found was deleted."""
        open_runs = list(self.open)[:_OPEN]
        if not open_runs:
            return
        found = client.search_runs(
            experiments, f"attributes.run_id IN ({', '.join(map(repr, open_runs))})", max_results=_OPEN
        )
        for run_id in open_runs:
            del self.open[run_id]
        for run in found:
            self._keep(run.info)

    def _keep(self, info: Any) -> None:
        self.last_started = max(self.last_started, info.start_time / 1000)
        if info.status in _ENDED:
            self.ended[info.status] += 1
            ended = (info.end_time or info.start_time) / 1000
            self.last_ended[info.status] = max(self.last_ended.get(info.status, 0.0), ended)
        else:
            self.open[info.run_id] = (info.status, info.start_time / 1000)

    def _edge(self) -> int:
        """A run of a clock that is ahead must not hide those that come."""
        return max(self._since, min(int(self.last_started * 1000), int(time.time() * 1000)) - _OVERLAP)

    def _trim(self) -> None:
        edge = self._edge()
        self._seen = {run_id: started for run_id, started in self._seen.items() if started >= edge}


@dataclass
class Runs:
    """Counts of runs. Values that other threads read are replaced as a whole, never changed in place."""

    states: dict[str, int] = field(default_factory=dict)  # state -> runs; empty until all were read once
    running_since: float = 0.0  # start of the oldest run that is RUNNING, in seconds since 1970; 0 when none is
    running: tuple[float, ...] = ()  # starts of the runs that are RUNNING
    last_started: float = 0.0
    last_ended: dict[str, float] = field(default_factory=dict)
    _count: _Count = field(default_factory=_Count)
    _again: _Count | None = None  # a count from the start, which takes the other's place when it is complete
    _counted_at: float = field(default_factory=time.monotonic)

    @property
    def complete(self) -> bool:
        """Whether all runs were read once."""
        return self._count.complete

    def read(self, client: MlflowClient) -> None:
        """Read new runs. Raises whatever MLflow raises; runs read so far are kept."""
        experiments = _experiments(client)
        self._count.read(client, experiments, _BUDGET)
        self._count.ask_open(client, experiments)
        if self._count.complete:
            self._recount(client, experiments)
            self._publish()

    def _recount(self, client: MlflowClient, experiments: list[str]) -> None:
        if self._again is None and time.monotonic() - self._counted_at > _RECOUNT_EVERY:
            self._again = _Count()
        if self._again:
            self._again.read(client, experiments, 0.0)
            if self._again.complete:
                self._count, self._again, self._counted_at = self._again, None, time.monotonic()

    def _publish(self) -> None:
        count = self._count
        counts = count.ended + Counter(state for state, _ in count.open.values())
        running = tuple(sorted(since for state, since in count.open.values() if state == "RUNNING"))
        self.running, self.running_since = running, running[0] if running else 0.0
        self.last_started, self.last_ended = count.last_started, dict(count.last_ended)
        self.states = {state: counts[state] for state in STATES}


def _experiments(client: MlflowClient) -> list[str]:
    experiments, token = [], None
    while True:
        page = client.search_experiments(page_token=token)
        experiments += [one.experiment_id for one in page]
        token = page.token or None
        if not token:
            return experiments
