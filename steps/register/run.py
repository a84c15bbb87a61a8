"""Register a checkpoint as a model version, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from artifacts import atomic
from artifacts.checkpoint import Checkpoint
from artifacts.report import Report
from steps.register.model_version import registered_version

if TYPE_CHECKING:
    from artifacts import Artifact, Output
    from steps.register.config import Config
    from telemetry import Observe


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Log the model, register it with card, tags and alias, and remember which version it became.

    The same checkpoint with the same report is registered once: a rerun finds the version by its tags.
    """

    checkpoint, report = inputs["checkpoint"], Report(inputs["report"])
    metric, score = report.primary
    version = registered_version(config, checkpoint, report, observe)
    atomic.write_json(output.file("version.json"), {
        "name": config.name, "checkpoint": checkpoint.digest, "report": report.artifact.digest,
        "task": Checkpoint(checkpoint).task, "primary_metric": metric, "score": score,
    })  # fmt: skip
    atomic.write_json(
        output.sidecar("registered.json"), version | {"alias": config.alias, "trace_id": observe.trace_id}
    )
    observe.log(
        "model.registered",
        f"{config.name} version {version['version']} has alias {config.alias}",
        model=config.name,
        **version,
    )
