"""All checks of the gate next to the score, in the order in which they are reported."""

from __future__ import annotations

from collections.abc import Callable

from steps.promote import baseline_checks, behaviour_checks, provenance_checks
from steps.promote.check_context import Case, Finding

CHECKS: tuple[Callable[[Case], Finding | None], ...] = (
    provenance_checks.integrity,
    provenance_checks.lineage,
    provenance_checks.licence,
    provenance_checks.leaks,
    provenance_checks.round_trip,
    baseline_checks.baselines,
    baseline_checks.parity,
    behaviour_checks.agreement,
    behaviour_checks.slices,
    behaviour_checks.latency,
    behaviour_checks.size,
    behaviour_checks.calibration,
    behaviour_checks.robustness,
    behaviour_checks.thresholds,
)
