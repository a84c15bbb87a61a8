"""The scores of a report as lines of text: every metric for the model and each baseline, with statistically significant leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MODEL = "this model"
_INDENT = " " * 10


def score_lines(scores: Mapping[str, Any]) -> list[str]:
    """One line a score, the task's primary metric first.

    A lead is stated only where the interval of the paired difference lies on one side of 0.
    """
    compared = {_MODEL: scores["metrics"], **scores["baselines"]}
    lines: list[str] = []
    names = max(map(len, compared))
    for metric in _metrics(scores):
        title = metric.replace("_", " ").replace("f1", "F1")
        rows = f"on {scores['rows']:,} rows of the {scores['split']} split, with 95 % intervals"
        lines.append(f"{_INDENT}{title}" if lines else f"score     {title} {rows}")
        shown = {name: _value(found[metric]) for name, found in compared.items() if metric in found}
        width = max(map(len, shown.values()))
        for name, value in shown.items():
            lead = "" if name == _MODEL else _lead(compared[name][metric], higher_is_better=_higher(scores, metric))
            lines.append(f"{_INDENT}  {name:{names}}  {value:{width}}  {lead}".rstrip())
    return lines


def score_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores as numbers: `METRIC` for the model, `METRIC/BASELINE` for each of its baselines."""
    own = {metric: float(found["value"]) for metric, found in scores["metrics"].items()}
    return own | {
        f"{metric}/{name}": float(found[metric]["value"])
        for name, found in scores["baselines"].items()
        for metric in own
        if metric in found
    }


def _metrics(scores: Mapping[str, Any]) -> list[str]:
    primary = scores["primary_metric"]
    return [primary, *(metric for metric in scores["metrics"] if metric != primary)]


def _higher(scores: Mapping[str, Any], metric: str) -> bool:
    """Whether more of a metric is better; less can only be better of a task's primary metric."""
    return metric != scores["primary_metric"] or bool(scores.get("higher_is_better", True))


def _value(found: Mapping[str, float]) -> str:
    interval = f" [{found['low']:.3f}, {found['high']:.3f}]" if "low" in found else ""
    return f"{found['value']:.3f}{interval}"


def _lead(found: Mapping[str, Any], *, higher_is_better: bool) -> str:
    """A comparison of the model with a baseline, from the interval of their paired difference."""
    ahead = found.get("ahead")
    if not ahead or "low" not in ahead:
        return ""
    value, low, high = ahead["value"], ahead["low"], ahead["high"]
    if not higher_is_better:
        value, low, high = -value, -high + 0.0, -low + 0.0  # no -0.0
    if low > 0:
        return f"this model is ahead by {value:.3f} [{low:.3f}, {high:.3f}]"
    if high < 0:
        return f"this model is behind by {-value:.3f} [{-high:.3f}, {-low:.3f}]"
    return f"no difference shown: {value:+.3f} [{low:+.3f}, {high:+.3f}]"
