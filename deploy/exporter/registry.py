"""MLflow's registry, read in bounded parts: versions, aliases and their scores. The number of series is bounded."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODELS = 100  # models that have series
NEWEST = 50  # versions of a model that have series of their own, in addition to those with an alias
_VERSIONS = 2000  # of all models together: many models have fewer each
_FEW = 10  # aliases of a model, baselines of a version
_LONGEST = 64  # characters of a label taken from a tag
_AT_ONCE = 20  # models whose versions are read in one collection: those that changed first
_HISTORY = "glassformer.history_of"  # a tag
_AGAIN = 600.0  # seconds; a version's tags may change without the model's telling


@dataclass(frozen=True)
class Version:
    """A model version with what its tags say."""

    model: str
    number: str
    metric: str
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
    aliases: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)  # model, alias -> version, since
    complete: bool = True  # False when there are more models than have series
    _known: dict[str, _Known] = field(default_factory=dict)

    def read(self, client: MlflowClient) -> None:
        """Read which models and aliases there are, and the versions of those that changed. Raises what MLflow raises."""
        # The gate keeps its decisions as versions of models of their own (steps/promote/history.py): these are no models.
        page = client.search_registered_models(max_results=2 * MODELS)
        models = [model for model in page if _HISTORY not in model.tags]
        complete, models = not page.token and len(models) <= MODELS, models[:MODELS]
        self._read_versions(client, models)
        now = time.time()
        aliases: dict[tuple[str, str], tuple[str, float]] = {}
        for model in models:
            for alias, number in _aliases(model).items():
                before = self.aliases.get((model.name, alias))
                changed = before[1] if before and before[0] == number else now if before else _update_time(model, now)
                aliases[model.name, alias] = (number, changed)
        self.aliases, self.complete = aliases, complete
        self.versions = [one for known in self._known.values() for one in known.versions]
        self.counts = {
            name: max((int(one.number) for one in known.versions), default=0) for name, known in self._known.items()
        }

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
    page = client.search_model_versions(f"name={_quote(model.name)}", newest, order_by=["version_number DESC"])
    found = {str(one.version): _version(one) for one in page}
    for number in sorted(set(_aliases(model).values()) - set(found)):
        found[number] = _version(client.get_model_version(model.name, number))
    return list(found.values())


def _quote(name: str) -> str:
    return f'"{name}"' if "'" in name else f"'{name}'"


def _aliases(model: Any) -> dict[str, str]:
    return {str(alias): str(number) for alias, number in sorted(model.aliases.items())[:_FEW]}


def _update_time(model: Any, now: float) -> float:
    return float(model.last_updated_timestamp) / 1000 if model.last_updated_timestamp else now


def _version(one: Any) -> Version:
    metric, score = _label(one.tags.get("glassformer.metric", "")), _number(one.tags.get("glassformer.score", ""))
    return Version(one.name, str(one.version), metric, score, _numbers(one.tags.get("glassformer.baselines", "")))


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
