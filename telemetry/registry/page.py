"""docs/names.md: tables of all names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from telemetry.conventions import (
    ATTRIBUTES,
    METRIC_ATTRIBUTES,
    PROCESS,
    SERVER_SPANS,
    SPAN_ATTRIBUTES,
    TRAINING_ATTRIBUTES,
    TRAINING_EVENTS,
    TRAINING_METRICS,
    TRAINING_SPANS,
)
from telemetry.names import EVENTS, METRICS, SPANS, sent_as


def as_markdown() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (
        "<!-- Written by `python -m telemetry.registry`: change telemetry/names.py or telemetry/conventions.py. -->",
        "# Names of spans, metrics, events and attributes",
        "",
        "These names are in `telemetry/registry/` too, as a registry of semantic conventions in the format of OpenTelemetry's",
        "[Weaver](https://github.com/open-telemetry/weaver): `weaver registry check -r telemetry/registry`.",
        "`glassformer.yaml` holds all that is sent. `ml_training.yaml` proposes names for what any training has, without this",
        "project's name, since OpenTelemetry has no conventions for trainings; the column *for others* has them. Nothing is sent",
        "under those names. The fields of log events are not listed, nor names that OpenTelemetry defines (`host.name`,",
        "`cicd.pipeline.name`, `exception.type`).",
        "",
        "## Metrics",
        "",
    )
    yield from _table("metric", "instrument", "unit", "attributes", "meaning", "for others")
    for name, entry in METRICS.items():
        labels = _code(METRIC_ATTRIBUTES.get(name, ()))
        other = _code([TRAINING_METRICS[name]]) if name in TRAINING_METRICS else ""
        yield f"| `{sent_as(name)}` | {entry.kind} | `{entry.unit}` | {labels} | {entry.meaning} | {other} |"
    yield from ("", "## Spans", "")
    yield from _table("span", "kind", "attributes", "meaning", "for others")
    for name, entry in SPANS.items():
        side, other = "server" if name in SERVER_SPANS else "internal", _code([TRAINING_SPANS.get(name, "")])
        yield f"| `{name}` | {side} | {_code(SPAN_ATTRIBUTES.get(name, ()))} | {entry.meaning} | {other} |"
    yield from ("", "## Log events", "")
    yield from _table("event", "meaning", "for others")
    for name, entry in EVENTS.items():
        yield f"| `{name}` | {entry.meaning} | {_code([TRAINING_EVENTS.get(name, '')])} |"
    yield from ("", "## Attributes", "", f"Every record has {_code(PROCESS)}.", "")
    yield from _table("attribute", "type", "meaning", "for others")
    for key, (kind, meaning, _) in ATTRIBUTES.items():
        shown = kind if isinstance(kind, str) else _code(kind)
        yield f"| `{key}` | {shown} | {meaning} | {_code([TRAINING_ATTRIBUTES.get(key, '')])} |"


def _table(*columns: str) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names if name)
