"""Parameters of `register`."""

from __future__ import annotations

from pydantic import Field

from steps.contract import StepConfig, artifact
from steps.registry_names import Alias, Model

OUTPUT = "model_version"


class Config(StepConfig):
    checkpoint: str = artifact("checkpoint", "Checkpoint to register")
    report: str = artifact("report", "Its report")
    name: Model = Field("glassformer", description="Name of the registered model")
    alias: Alias = Field("challenger", description="Alias that the new version gets")
