"""All that the gate looks at beside the score, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Callable

from steps.gate import baselines, comparisons, records
from steps.gate.case import Case, Finding

CHECKS: tuple[Callable[[Case], Finding | None], ...] = (
    records.unchanged, records.lineage, records.licence, records.leaks, records.round_trip,
    baselines.baselines,
    comparisons.agreement, comparisons.slices, comparisons.latency, comparisons.size, comparisons.calibration,
    comparisons.robustness, comparisons.thresholds,
)  # fmt: skip
