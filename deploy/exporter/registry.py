"""MLflow's registry, read in bounded parts: versions, aliases and their scores. The number of series is bounded."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploy.exporter.decisions import Decisions, quote

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODELS = 100  # models that have series
NEWEST = 50  # versions of a model that have series of their own, in addition to those with an alias
_VERSIONS = 2000  # of all models together: many models have fewer each
_FEW = 10  # aliases of a model, baselines of a version
_LONGEST = 64  # characters of a label taken from a tag
_AT_ONCE = 20  # models whose versions are read in one collection: those that changed first
_HISTORY = "glassformer.history_of"  # a tag
_BETTER = {"true": "higher", "false": "lower"}  # by a tag
_AGAIN = 600.0  # seconds; a version's tags may change without the model's telling


@dataclass(frozen=True)
class Version:
    """A model version with what its tags say."""

    model: str
    number: str
    metric: str
    better: str  # `higher` or `lower`; empty if its tags do not say
    unit: str
    score: float | None
    baselines: dict[str, float]


@dataclass(frozen=True)
class _Known:
    """The versions read for one model, and the state of the model at that time."""

    stamp: tuple[Any, ...]
    read_at: float
    versions: list[Version]


@dataclass
class Registry:
    """The results so far. Values that other threads read are replaced as a whole, never changed in place."""

    versions: list[Version] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # model -> versions that were made: the newest one's number
    # model, alias -> version, and since when: by a decision, or seen to move; 0 if unknown
    aliases: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    complete: bool = True  # False when there are more models than have series
    _known: dict[str, _Known] = field(default_factory=dict)
    _decisions: dict[str, tuple[Any, Decisions]] = field(
        default_factory=dict
    )  # model -> state of its history, decisions

    def read(self, client: MlflowClient) -> None:
        """Read which models and aliases there are, and the versions of those that changed. Raises what MLflow raises."""
        # The gate keeps its decisions as versions of models of their own (steps/promote/history.py): these are no models.
        page = client.search_registered_models(max_results=2 * MODELS)
        models = [model for model in page if _HISTORY not in model.tags]
        histories = {model.tags[_HISTORY]: model for model in page if _HISTORY in model.tags}
        complete, models = not page.token and len(models) <= MODELS, models[:MODELS]
        self._read_versions(client, models)
        now = time.time()
        aliases: dict[tuple[str, str], tuple[str, float]] = {}
        for model in models:
            decisions = self._read_decisions(client, model.name, histories.get(model.name))
            for alias, number in _aliases(model).items():
                before = self.aliases.get((model.name, alias))
                seen = before[1] if before and before[0] == number else now if before else 0.0
                aliases[model.name, alias] = (number, decisions.since(alias, number) or seen)
        self.aliases, self.complete = aliases, complete
        self.versions = [one for known in self._known.values() for one in known.versions]
        self.counts = {
            name: max((int(one.number) for one in known.versions), default=0) for name, known in self._known.items()
        }

    def _read_decisions(self, client: MlflowClient, name: str, history: Any) -> Decisions:
        """The decisions about a model, of which those that are new are read."""
        if history is None:
            return Decisions()
        stamp, decisions = self._decisions.get(name, (None, Decisions()))
        if stamp != history.last_updated_timestamp:
            decisions.read(client, history.name)
            self._decisions[name] = (history.last_updated_timestamp, decisions)
        return decisions

    def _read_versions(self, client: MlflowClient, models: list[Any]) -> None:
        newest, now = min(NEWEST, max(1, _VERSIONS // max(1, len(models)))), time.monotonic()
        stamps = {
            model.name: (model.last_updated_timestamp, newest, tuple(_aliases(model).items())) for model in models
        }
        due = [
            model
            for model in models
            if not (known := self._known.get(model.name))
            or known.stamp != stamps[model.name]
            or now - known.read_at > _AGAIN
        ]
        due.sort(key=lambda model: self._known[model.name].read_at if model.name in self._known else 0.0)
        found = {name: known for name, known in self._known.items() if name in stamps}
        for model in due[:_AT_ONCE]:
            found[model.name] = _Known(stamps[model.name], now, _versions(client, model, newest))
        self._known = found


def _versions(client: MlflowClient, model: Any, newest: int) -> list[Version]:
    page = client.search_model_versions(f"name={quote(model.name)}", newest, order_by=["version_number DESC"])
    found = {str(one.version): _version(one) for one in page}
    for number in sorted(set(_aliases(model).values()) - set(found)):
        found[number] = _version(client.get_model_version(model.name, number))
    return list(found.values())


def _aliases(model: Any) -> dict[str, str]:
    return {str(alias): str(number) for alias, number in sorted(model.aliases.items())[:_FEW]}


def _version(one: Any) -> Version:
    tags = {name: one.tags.get(f"glassformer.{name}", "") for name in ("metric", "unit", "score", "baselines")}
    better = _BETTER.get(one.tags.get("glassformer.higher_is_better", ""), "")
    return Version(
        one.name, str(one.version), _label(tags["metric"]), better, _label(tags["unit"]), _number(tags["score"]),
        _numbers(tags["baselines"]),
    )  # fmt: skip


def _label(text: Any) -> str:
    """Short, and something that can be written: half a character would end every scrape."""
    return str(text)[:_LONGEST].encode(errors="replace").decode()


def _numbers(text: str) -> dict[str, float]:
    try:
        return {_label(name): float(value) for name, value in sorted(json.loads(text or "{}").items())[:_FEW]}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}  # a tag written by another program


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
