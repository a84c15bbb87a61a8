"""Gauges for the Prometheus endpoints of `deploy/exporter` and `deploy/serving`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import GaugeMetricFamily


def gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """One that has no labels."""
    return GaugeMetricFamily(name, meaning, value=value)


def gauges(
    name: str, meaning: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], Any]]
) -> GaugeMetricFamily:
    """One with a value for each key: labels' values -> value."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, value in values:
        family.add_metric(list(key), float(value))
    return family
