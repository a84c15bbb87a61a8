"""Conditions for a candidate to become champion: one mapping, the key `gate:` of a pipeline.

gate:
  metric: macro_f1                  # else the task's own
  minimum_gain: 0.0                 # promote a version that is significantly better than the champion by more than this
  margin: 0.01                      # or, in its place: promote one that is statistically not worse by more than this
  confidence: 0.95                  # of the interval that decides significance
  slices: {by: [label, length, source], loss: 0.1, rows: 50}
  latency: {p50: 1.5, p99: 2.0}     # at most so many times the champion's
  size: 2.0                         # likewise, in bytes
  calibration: 0.05                 # the expected calibration error may rise by so much
  robustness: 0.1                   # with typos, in other case or cut in half it may be so much behind the champion
  leaks: 0.0                        # share of the rows asked that may be in what it was trained on
  baseline: {beats: majority, share: 0.5}    # of its report: significantly better than this one, and half as good as the best
  require: [unchanged, leaks, round_trip, lineage]
  thresholds: {accuracy: {threshold: 0.8}}          # as mlflow.validate_evaluation_results takes them
  overriders: [ann]                 # who may override; empty: everybody who can write to the registry

A budget of null is not enforced, only reported.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Check = Literal["unchanged", "leaks", "round_trip", "lineage", "licence", "baselines"]
Slicing = Literal["label", "length", "source"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Slices(_Part):
    """Limit on how far the candidate may be significantly worse on any slice of the rows: `loss`."""

    by: tuple[Slicing, ...] = ("label", "length", "source")
    metric: str = ""  # else accuracy where the task has it: a metric over classes says little about one class
    loss: float | None = Field(0.1, ge=0)
    rows: int = Field(50, ge=2)  # smaller slices say nothing
    samples: int = Field(1000, ge=100, le=100_000)


class Latency(_Part):
    """Limits on one request's latency, measured side by side, as multiples of the champion's."""

    p50: float | None = Field(None, gt=0)
    p99: float | None = Field(None, gt=0)
    requests: int = Field(100, ge=0, le=10_000)  # of each; 0: latency is not measured


class Baseline(_Part):
    """Requirements on the comparison with the baselines in the candidate's own report."""

    metric: str = ""  # else the gate's
    beats: str = "majority"  # `majority` if the report has it; `all`, `best`, or the name of a baseline; empty: none
    share: float | None = Field(0.5, gt=0)  # of the best baseline's score that the candidate must reach


class Threshold(_Part):
    """Fields of `mlflow.models.MetricThreshold`."""

    threshold: float | None = None
    min_absolute_change: float | None = Field(None, gt=0)
    min_relative_change: float | None = Field(None, gt=0)
    greater_is_better: bool = True


class Policy(_Part):
    """A pipeline's `gate:`. See above."""

    metric: str = ""
    minimum_gain: float = Field(0.0, ge=0)
    margin: float | None = Field(None, gt=0)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    samples: int = Field(10_000, ge=100, le=1_000_000)
    seed: int = Field(1, ge=0)
    split: Literal["validation", "test"] = "test"
    options: dict[str, Any] = Field(default_factory=dict)  # how both answer: the task's own, decoding for instance
    slices: Slices = Slices()
    latency: Latency = Latency()
    size: float | None = Field(None, gt=0)
    calibration: float | None = Field(0.1, ge=0)
    robustness: float | None = Field(0.1, ge=0)
    robustness_rows: int = Field(300, ge=0)  # 0: robustness is not measured
    leaks: float = Field(0.0, ge=0, lt=1)
    baseline: Baseline | None = Baseline()
    require: tuple[Check, ...] = ("unchanged", "leaks", "round_trip", "lineage")
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    overriders: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _gain_or_margin(self) -> Self:
        if self.margin is not None and self.minimum_gain:
            raise ValueError("give minimum_gain (better by more than this) or margin (not worse by more), not both")
        return self

    @property
    def bar(self) -> float:
        """Lowest difference to the champion that a candidate must be significantly above."""
        return -self.margin if self.margin is not None else self.minimum_gain
