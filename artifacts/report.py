"""A Report: a model's scores on a split, with baselines on the same rows.

scores.json            task, primary metric, metrics with their intervals, baselines, differences, per class
predictions.parquet    per row: id, expected, prediction, probability, and each baseline's prediction
data.json              licence, source and counts of the data
recorded.json          a few questions with the answers, and what all questions looked like: for the server
sidecars/report.html   the page, with what the run cost
"""

from __future__ import annotations

from typing import Any

from artifacts import atomic
from artifacts.artifact import Artifact, ArtifactError


class Report:
    """Reads a report."""

    def __init__(self, artifact: Artifact) -> None:
        if artifact.kind != "report":
            raise ArtifactError(f"{artifact.path}: a {artifact.kind}, where a report is needed")
        self.artifact = artifact
        self.scores: dict[str, Any] = atomic.read_json(artifact.file("scores.json"))
        self.data: dict[str, Any] = atomic.read_json(artifact.file("data.json"))

    @property
    def primary(self) -> tuple[str, float]:
        """Name and value of the metric that the gate compares."""
        name = str(self.scores["primary_metric"])
        return name, float(self.scores["metrics"][name]["value"])

    @property
    def baselines(self) -> dict[str, float]:
        """The same metric of each baseline, on the same rows."""
        name = str(self.scores["primary_metric"])
        return {baseline: float(found[name]["value"]) for baseline, found in self.scores["baselines"].items()}
