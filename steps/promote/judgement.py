"""Decision from the findings: promote, refuse, or undecided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steps.pages.page import readable_metric
from steps.promote.baseline_checks import CHECK as BASELINES
from steps.promote.bootstrap import Difference, rows_needed
from steps.promote.check_context import Finding
from steps.promote.policy import Policy

Outcome = Literal["promote", "refuse", "undecided"]
_RECORDS = ("unchanged", "lineage", "licence", "leaks", "round_trip")  # what a policy may require or leave


@dataclass(frozen=True)
class Judgement:
    """Verdict of the gate on a candidate, and its reasons."""

    outcome: Outcome
    reason: str
    needed: int | None = None  # rows that would decide, where these are too few


def judge(
    policy: Policy, metric: str, findings: Sequence[Finding], difference: Difference | None, rows: int, champion: str
) -> Judgement:
    """Refuse a candidate that fails a check; then the interval of the difference to the champion decides, if there is one."""
    if failed := [one for one in findings if counts(one, policy)]:
        return Judgement("refuse", "; ".join(f"{one.check.replace('_', ' ')}: {one.told}" for one in failed))
    if difference is None:
        return Judgement("promote", "there was no champion, and all that is required holds")
    summary = (
        f"{readable_metric(metric)} {difference.value:+.4f} compared with version {champion}, in the {policy.confidence:.0%} interval "
        f"{difference.low:+.4f} to {difference.high:+.4f} of {rows:,} rows"
    )
    bar = policy.bar
    if difference.low > bar or (policy.margin is not None and difference.low >= bar):
        return Judgement(
            "promote",
            f"{summary}: {f'significantly better by more than {bar:g}' if bar >= 0 else f'statistically not worse by more than {-bar:g}'}",
        )
    if difference.high <= bar or difference.value <= bar:
        return Judgement("refuse", f"{summary}: not above {bar:+g}")
    needed = rows_needed(difference, bar, rows, policy.confidence)
    return Judgement("undecided", f"{summary}: may be chance; about {needed:,} rows would tell", needed)


def counts(finding: Finding, policy: Policy) -> bool:
    """Whether a finding stands in the way: a budget that is broken, or a required record that does not hold or is not known."""
    if finding.check in _RECORDS:
        return finding.check in policy.require and finding.verdict != "passed"
    if finding.check == BASELINES and finding.verdict == "unknown":
        return finding.check in policy.require
    return finding.verdict == "failed"
