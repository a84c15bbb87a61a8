"""Register a checkpoint with its report as a model version in MLflow: checkpoint, report -> model version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from steps.contract import StepConfig, artifact
from steps.registry_names import Alias, Model

if TYPE_CHECKING:
    from artifacts import Artifact, Output
    from telemetry import Observe

OUTPUT = "model_version"


class Config(StepConfig):
    checkpoint: str = artifact("checkpoint", "Checkpoint to register")
    report: str = artifact("report", "Its report")
    name: Model = Field("glassformer", description="Name of the registered model")
    alias: Alias = Field("challenger", description="Alias that the new version gets")


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Log the model, register it with card, tags and alias, and remember which version it became.

    The same checkpoint with the same report is registered once: a rerun finds the version by its tags.
    """
    from artifacts import atomic
    from artifacts.checkpoint import Checkpoint
    from artifacts.report import Report
    from steps.registering import registered_version

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
    observe.log("model.registered", f"{config.name} version {version['version']} has alias {config.alias}", **version)


if __name__ == "__main__":
    from steps.wrapper import main

    main(Config, run)
