"""What MLflow's store says, read a bounded piece at a time: runs by state, versions, aliases and their scores."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
NEWEST = 50  # versions of a model that have series of their own; older ones are counted
_PAGE = 500
_MOST_PAGES = 10  # of runs, in one collection: what is left comes with the next
_ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Version:
    """A model version with what its tags say."""

    model: str
    number: str
    metric: str
    score: float | None
    baselines: dict[str, float]


@dataclass
class Registry:
    """What was found so far. A run that has ended is read once. What others read is replaced whole, never changed."""

    states: dict[str, int] = field(default_factory=dict)  # state -> runs
    running_since: float = 0.0  # start of the oldest run that is RUNNING, in seconds since 1970; 0 when none is
    ended: dict[str, str] = field(default_factory=dict)  # run id -> state
    open: dict[str, tuple[str, float]] = field(default_factory=dict)  # run id -> state, since (seconds since 1970)
    versions: list[Version] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # model -> versions
    aliases: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)  # model, alias -> version, since
    _newest: int = 0  # start of the newest run that was read, ms
    _token: str | None = None  # where the reading of older runs goes on

    def collect(self, client: MlflowClient) -> None:
        """Read what is new. Raises whatever MLflow raises."""
        experiments = [one.experiment_id for one in client.search_experiments()]
        self._read_runs(client, experiments)
        self._read_open(client)
        self._read_models(client)
        found = Counter(self.ended.values()) + Counter(state for state, _ in self.open.values())
        self.states = {state: found[state] for state in STATES}
        self.running_since = min((since for state, since in self.open.values() if state == "RUNNING"), default=0.0)

    def _read_runs(self, client: MlflowClient, experiments: list[str]) -> None:
        """Runs that started since the newest one known, oldest first, and a bounded number of them."""
        for _ in range(_MOST_PAGES):
            page = client.search_runs(
                experiments, f"attributes.start_time >= {self._newest}", max_results=_PAGE,
                order_by=["attributes.start_time ASC"], page_token=self._token,
            )  # fmt: skip
            for run in page:
                self._keep(run)
            self._token = page.token or None
            if not self._token:
                if len(page):
                    self._newest = max(self._newest, page[-1].info.start_time)
                return

    def _read_open(self, client: MlflowClient) -> None:
        for run_id in list(self.open):
            self._keep(client.get_run(run_id))

    def _keep(self, run: Any) -> None:
        self.open.pop(run.info.run_id, None)
        if run.info.status in _ENDED:
            self.ended[run.info.run_id] = run.info.status
        else:
            self.open[run.info.run_id] = (run.info.status, run.info.start_time / 1000)

    def _read_models(self, client: MlflowClient) -> None:
        now = time.time()
        counts: dict[str, int] = {}
        found: list[Version] = []
        aliases: dict[tuple[str, str], tuple[str, float]] = {}
        for model in client.search_registered_models():
            held = {str(number) for number in model.aliases.values()}
            versions = client.search_model_versions(f"name='{model.name}'", max_results=10_000)
            versions = sorted(versions, key=lambda one: int(one.version), reverse=True)
            counts[model.name] = len(versions)
            found += [_version(one) for place, one in enumerate(versions) if place < NEWEST or str(one.version) in held]
            for alias, number in model.aliases.items():
                key = (model.name, str(alias))
                before = self.aliases.get(key)
                changed = before[1] if before and before[0] == str(number) else now if before else _updated(model, now)
                aliases[key] = (str(number), changed)
        self.counts, self.versions, self.aliases = counts, found, aliases


def _updated(model: Any, now: float) -> float:
    return float(model.last_updated_timestamp) / 1000 if model.last_updated_timestamp else now


def _version(one: Any) -> Version:
    metric, score = one.tags.get("glassformer.metric", ""), _number(one.tags.get("glassformer.score", ""))
    return Version(one.name, str(one.version), metric, score, _numbers(one.tags.get("glassformer.baselines", "")))


def _numbers(text: str) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # a tag that somebody else wrote


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
