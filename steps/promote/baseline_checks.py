"""A candidate by its own report: next to its baselines, and in the framework that trained it.

Is it worth promoting at all, champion or none? The report has the paired difference to each baseline, with its interval, on the rows
that the gate asks: nothing is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artifacts.report import Report
from steps.pages.page import readable_metric
from steps.promote.bootstrap import direction
from steps.promote.check_context import Case, Finding
from steps.promote.policy import Baseline
from tasks.evaluation import Table
from tasks.parity import LARGEST

CHECK = "baselines"
_MAJORITY = "majority class"
_SHORT = 12  # digits of a digest that people read


def baselines(case: Case) -> Finding | None:
    """Check that it is significantly better than the policy's baselines, and near enough to the best one."""
    policy = case.policy.baseline
    if policy is None:
        return None
    report = _report(case)
    if isinstance(report, str):
        return Finding(CHECK, "unknown", report)
    metric = policy.metric or case.metric
    if metric not in report["metrics"]:
        return Finding(CHECK, "failed", f"its report has no metric {metric!r}: {', '.join(report['metrics'])}")
    own = float(report["metrics"][metric]["value"])
    scores = {name: each[metric] for name, each in report["baselines"].items() if metric in each}
    if not scores:
        return Finding(CHECK, "told", f"its report has no baseline with {readable_metric(metric)}")
    sign = direction(case.task, metric)
    best = max(scores, key=lambda name: sign * scores[name]["value"])
    over = _not_beaten(policy, metric, sign, scores, best)
    share = _share(own, float(scores[best]["value"]), sign)
    if policy.share is not None and share < policy.share:
        over.append(
            f"{readable_metric(metric)} {own:.3f} is {share:.0%} of {best}'s {scores[best]['value']:.3f}, under {policy.share:.0%}"
        )
    numbers = {"metric": metric, "candidate": own, "baselines": scores, "best": best, "share_of_best": round(share, 6)}
    blocks = [_table(metric, own, scores)]
    if over:
        return Finding(CHECK, "failed", "; ".join(over), numbers, blocks)
    summary = f"{readable_metric(metric)} {own:.3f}; the best baseline, {best}, has {scores[best]['value']:.3f}"
    return Finding(CHECK, "passed" if policy.beats or policy.share is not None else "told", summary, numbers, blocks)


def parity(case: Case) -> Finding | None:
    """Check that PyTorch, which serves, answers as the framework that trained it: logits at most 1e-4 apart."""
    framework = case.candidate.who.tag("framework") or "torch"
    if framework == "torch":
        return None
    report = _report(case)
    if isinstance(report, str):
        return Finding("parity", "failed", f"trained in {framework}, and {report}")
    found = report.get("parity")
    if found is None:
        return Finding(
            "parity", "failed", f"trained in {framework}, and its report compares no logits: evaluate it again"
        )
    apart = found["largest_difference"]
    if apart is None:
        return Finding("parity", "failed", f"logits of {framework} or torch are no numbers", found)
    summary = f"logits of {framework} and torch are at most {apart:.1e} apart, on {found['answers']:,} answers"
    if apart > LARGEST:
        return Finding("parity", "failed", f"{summary}; {LARGEST:.0e} are allowed", found)
    return Finding("parity", "passed", summary, found)


def _report(case: Case) -> Mapping[str, Any] | str:
    """Scores of the candidate's report, or why there are none for these questions."""
    digest = case.candidate.who.tag("report")
    if not digest:
        return "no report is on record: register it again"
    kept = case.store.find("report", digest)
    if kept is None:
        return f"its report {digest[:_SHORT]} is not in this store, or damaged: run its pipeline here"
    report = Report(kept)
    if report.data["corpus"] != case.corpus.artifact.digest or report.scores["split"] != case.policy.split:
        return f"its report is of other rows than the split {case.policy.split} that is asked: run its pipeline again"
    scores: Mapping[str, Any] = report.scores
    return scores


def _not_beaten(policy: Baseline, metric: str, sign: int, scores: Mapping[str, Any], best: str) -> list[str]:
    """A sentence for each required baseline that is not beaten, or not significantly."""
    named = {"": [], "all": list(scores), "best": [best], "majority": [name for name in scores if name == _MAJORITY]}
    if policy.beats not in named and policy.beats not in scores:
        return [f"its report has no baseline {policy.beats!r}: {', '.join(scores)}"]
    over = []
    for name in named.get(policy.beats, [policy.beats]):
        ahead = scores[name].get("ahead", {})
        low, high = sorted(sign * ahead[key] for key in ("low", "high")) if "low" in ahead else (0.0, 0.0)
        if low <= 0:
            interval = f" (interval {low:+.3f} to {high:+.3f})" if "low" in ahead else ""
            over.append(
                f"{readable_metric(metric)} {sign * ahead.get('value', 0.0):+.3f} next to {name}: not significantly better{interval}"
            )
    return over


def _share(own: float, best: float, sign: int) -> float:
    """The candidate's score as a share of the best baseline's; where less is better, the other way round."""
    above, below = (own, best) if sign > 0 else (best, own)
    if below <= 0:
        return 1.0 if above >= below else 0.0
    return above / below


def _table(metric: str, own: float, scores: Mapping[str, Any]) -> Table:
    rows: list[list[Any]] = [["this candidate", own, "", "", ""]]
    for name, each in scores.items():
        ahead = each.get("ahead", {})
        rows.append([name, each["value"], *(ahead.get(key, "") for key in ("value", "low", "high"))])
    note = f"The {readable_metric(metric)} of the candidate's report, and how far the candidate is above each baseline on the same rows."
    return Table("Baselines", note, ["who", readable_metric(metric), "above", "from", "to"], rows)
