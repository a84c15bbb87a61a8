"""Every metric as Prometheus knows it: those that runs push, and those that the exporter and the server serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from prometheus_client.core import Metric

from deploy.exporter.collector import Exporter
from deploy.serving.loaded_versions import Fleet
from deploy.serving.metrics import Metrics
from telemetry.names import METRICS, Name, sent_as

_UNITS = {"1": "_ratio", "s": "_seconds", "By": "_bytes", "W": "_watts"}
_SERIES = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}


def pushed() -> list[Metric]:
    """The metrics of telemetry/names.py, as `UnderscoreEscapingWithSuffixes` names them."""
    return [Metric(_name(name, entry), entry.meaning, entry.kind) for name, entry in METRICS.items()]


def served() -> list[Metric]:
    """The metrics of the server's /metrics."""
    metrics, nothing = Metrics(), Fleet(None, None, None, None, None, None)  # type: ignore[arg-type]
    metrics.watch(nothing, {})
    metrics.count_connections(_NoConnections())  # type: ignore[arg-type]
    return list(metrics.registry.collect())


def exported(folder: Path) -> list[Metric]:
    """The metrics of the exporter's /metrics, over a store with one run."""
    client = MlflowClient(uri := f"sqlite:///{folder}/mlflow.db", uri)
    client.create_run(client.create_experiment("one"))
    exporter = Exporter(folder, lambda: client)
    exporter.update()
    return list(exporter.collect())


def series(families: Iterable[Metric]) -> Iterator[str]:
    """The names of their series."""
    for family in families:
        yield from (family.name + end for end in _SERIES.get(family.type, [""]))


def exposition(families: Iterable[Metric]) -> str:
    """A sample of each, as text: a family without a sample is not looked at."""
    lines = []
    for family in families:
        ends = _SERIES.get(family.type, [""])
        shown = family.name + (ends[0] if family.type == "counter" else "")
        lines += [f"# HELP {shown} {family.documentation}", f"# TYPE {shown} {family.type}"]
        lines += [f'{family.name}{end}{{le="+Inf"}} 1' if end == "_bucket" else f"{family.name}{end} 1" for end in ends]
    return "\n".join(lines) + "\n"


def _name(name: str, entry: Name) -> str:
    base, unit = sent_as(name).replace(".", "_"), _UNITS.get(entry.unit, "")
    return base + ("" if base.endswith(unit) or (unit == "_ratio" and entry.kind != "gauge") else unit)


class _NoConnections:
    open: tuple[Any, ...] = ()
    refused = cut = overlong = 0
