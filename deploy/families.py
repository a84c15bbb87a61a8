"""Metric families for the Prometheus endpoints of `deploy/exporter` and `deploy/serving`.

A gauge is a state and may fall. A counter only rises until its source begins anew; the client adds `_total` to its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Values = Iterable[tuple[tuple[str, ...], Any]]  # labels' values -> value
_Family = TypeVar("_Family", GaugeMetricFamily, CounterMetricFamily)


def gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(name, meaning, value=value)


def gauges(name: str, meaning: str, labels: list[str], values: Values) -> GaugeMetricFamily:
    """A gauge with a value for each key."""
    return _fill(GaugeMetricFamily(name, meaning, labels=labels), values)


def counter(name: str, meaning: str, value: float) -> CounterMetricFamily:
    """A counter without labels."""
    return CounterMetricFamily(name, meaning, value=value)


def counters(name: str, meaning: str, labels: list[str], values: Values) -> CounterMetricFamily:
    """A counter with a value for each key."""
    return _fill(CounterMetricFamily(name, meaning, labels=labels), values)


def _fill(family: _Family, values: Values) -> _Family:
    for key, value in values:
        family.add_metric(list(key), float(value))
    return family
