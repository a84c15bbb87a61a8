"""Our names as a registry of semantic conventions, in the format of OpenTelemetry's Weaver (`definition/2`).

`glassformer.yaml` holds all that is sent, by the names that it is sent with. `ml_training.yaml` names the part of it that any training has
without this project's name: each definition has ours as an annotation. The fields of log events are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from telemetry.conventions import (
    ATTRIBUTES,
    METRIC_ATTRIBUTES,
    OF_OPENTELEMETRY,
    PROCESS,
    SERVER_SPANS,
    SPAN_ATTRIBUTES,
    TRAINING_ATTRIBUTES,
    TRAINING_EVENTS,
    TRAINING_METRICS,
    TRAINING_SPANS,
)
from telemetry.names import EVENTS, METRICS, SPANS, Name, sent_as
from telemetry.registry.page import as_markdown

DEVELOPMENT = {"stability": "development"}


def files() -> dict[Path, str]:
    """Each generated file with its text."""
    folder = Path(__file__).parent
    registry = {"manifest.yaml": _manifest(), "glassformer.yaml": all_names(), "ml_training.yaml": training_names()}
    page = {folder.parents[1] / "docs" / "names.md": as_markdown()}
    return {folder / name: _as_yaml(content) for name, content in registry.items()} | page


def all_names() -> dict[str, Any]:
    """The definitions of all that is sent."""
    within = {"entity_associations": ["glassformer.process"]}
    process = _entity("glassformer.process", "a process of a run", PROCESS[:1], PROCESS[1:])
    return {
        "file_format": "definition/2",
        "attributes": [_attribute(key) for key in ATTRIBUTES],
        "entities": [process],
        "spans": [_span(f"glassformer.{name}", name, SPAN_ATTRIBUTES.get(name, ())) | within for name in SPANS],
        "events": [_event(name, name) | within for name in EVENTS],
        "metrics": [
            _metric(sent_as(name), METRICS[name], METRIC_ATTRIBUTES.get(name, ())) | within
            for name in METRICS
            if not sent_as(name).startswith(OF_OPENTELEMETRY)
        ],
    }


def training_names() -> dict[str, Any]:
    """The definitions that others could adopt, each with our name."""
    within = {"entity_associations": ["ml.training.run"]}
    run = _entity("ml.training.run", "a run of a training", [TRAINING_ATTRIBUTES["glassformer.run"]], ())
    return {
        "file_format": "definition/2",
        "attributes": [_attribute(own, key) | _ours(own) for own, key in TRAINING_ATTRIBUTES.items()],
        "entities": [run],
        "spans": [
            _span(name, own, [TRAINING_ATTRIBUTES[key] for key in SPAN_ATTRIBUTES.get(own, ())]) | _ours(own) | within
            for own, name in TRAINING_SPANS.items()
        ],
        "events": [_event(name, own) | _ours(own) | within for own, name in TRAINING_EVENTS.items()],
        "metrics": [
            _metric(name, METRICS[own], ()) | _ours(sent_as(own)) | within for own, name in TRAINING_METRICS.items()
        ],
    }


def _manifest() -> dict[str, Any]:
    return {
        # an identifier; there is nothing to fetch
        "schema_url": "https://glassformer.invalid/schemas/0.1.0",
        "description": "Signals of Glassformer, and names for the telemetry of trainings that others could adopt.",
        **DEVELOPMENT,
    }


def _attribute(own: str, key: str = "") -> dict[str, Any]:
    kind, meaning, example = ATTRIBUTES[own]
    members = [{"id": value, "value": value, **DEVELOPMENT} for value in kind] if isinstance(kind, tuple) else []
    made = {"key": key or own, "type": {"members": members} if members else kind, "brief": _sentence(meaning)}
    return made | ({} if example is None else {"examples": [example]}) | DEVELOPMENT


def _entity(kind: str, meaning: str, identity: Sequence[str], description: Sequence[str]) -> dict[str, Any]:
    made = {"type": kind, "brief": _sentence(meaning), **DEVELOPMENT, "identity": [{"ref": key} for key in identity]}
    return made | ({"description": _refs(description)} if description else {})


def _span(kind: str, own: str, attributes: Sequence[str]) -> dict[str, Any]:
    made = {"type": kind, "name": {"note": own}, "kind": "server" if own in SERVER_SPANS else "internal"}
    return made | {"brief": _sentence(SPANS[own].meaning)} | DEVELOPMENT | _with(attributes)


def _event(name: str, own: str) -> dict[str, Any]:
    return {"name": name, "brief": _sentence(EVENTS[own].meaning), **DEVELOPMENT}


def _metric(name: str, entry: Name, attributes: Sequence[str]) -> dict[str, Any]:
    made = {"name": name, "brief": _sentence(entry.meaning), "instrument": entry.kind, "unit": entry.unit}
    return made | DEVELOPMENT | _with(attributes)


def _with(attributes: Sequence[str]) -> dict[str, Any]:
    return {"attributes": _refs(attributes)} if attributes else {}


def _refs(attributes: Sequence[str]) -> list[dict[str, str]]:
    return [{"ref": key, "requirement_level": "recommended"} for key in attributes]


def _ours(name: str) -> dict[str, Any]:
    return {"annotations": {"glassformer": {"name": name}}}


def _sentence(meaning: str) -> str:
    return f"{meaning[0].upper()}{meaning[1:]}."


def _as_yaml(content: Mapping[str, Any]) -> str:
    head = "# Written by `python -m telemetry.registry` from telemetry/names.py and telemetry/conventions.py.\n"
    return head + yaml.dump(content, Dumper=_Plain, sort_keys=False, width=140, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write lists that are used twice in full."""
        return True
