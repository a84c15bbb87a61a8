"""Bounded metric labels: names from a fixed set, short values, and at most a few hundred combinations per metric.

A backend keeps a series for every combination of values, for as long as its retention: ten thousand reasons or file names
as a label would be ten thousand series a run. The first combinations stay what they are; the values of all that come
later read `other`, so that sums stay right, and how many measurements that were is counted (`telemetry.capped`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telemetry import sanitize
from telemetry.names import LABELS

MOST_SERIES = 200  # of one metric in one process, the one of `other` left out
_LONGEST_VALUE = 200
OTHER = "other"


class Labels:
    """The combinations that each metric of one process has had so far."""

    def __init__(self) -> None:
        self.capped = 0  # measurements whose values were replaced
        self._seen: dict[str, set[tuple[tuple[str, str], ...]]] = {}

    def bound(self, metric: str, attributes: Mapping[str, Any]) -> dict[str, str]:
        """The given attributes that are labels, as short text without credentials."""
        kept = {
            name: sanitize.text(value, _LONGEST_VALUE) for name, value in sorted(attributes.items()) if name in LABELS
        }
        seen, key = self._seen.setdefault(metric, set()), tuple(kept.items())
        if not key or key in seen:
            return kept
        if len(seen) < MOST_SERIES:
            seen.add(key)
            return kept
        self.capped += 1
        return dict.fromkeys(kept, OTHER)
