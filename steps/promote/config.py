"""Parameters of `promote`."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from steps.compute_config import DeviceConfig
from steps.contract import Options, artifact
from steps.promote.policy import Policy
from steps.registry_names import Alias, ModelOrNone, Version

OUTPUT = None  # an alias in the registry; nothing on disk


class Config(DeviceConfig):
    examples = ("--model glassformer-docs", "--rollback glassformer-docs", "--explain glassformer-docs")

    version: str = artifact("model_version", "Model version to promote, as `register` made it", optional=True)
    model: ModelOrNone = Field("", description="Or, in its place: name of a registered model")
    candidate: Version = Field("challenger", description="of which this version is asked about: a number or alias")
    alias: Alias = Field("champion", description="Alias that the better version has")
    corpus: str = artifact("corpus", "Corpus to compare on; else that of the candidate's report", optional=True)
    gate: Options = Field({}, description="Policy, as {name: value}; see steps/promote/policy.py")
    override: str = Field("", max_length=1000, description="Promote whatever the gate says, for this reason")
    rollback: ModelOrNone = Field("", description="Name of a model whose former champion is put back")

    @field_validator("gate")
    @classmethod
    def _policy(cls, given: dict[str, Any]) -> dict[str, Any]:
        try:
            Policy(**given)
        except ValidationError as error:
            problem = error.errors()[0]
            name = ".".join(map(str, problem["loc"])) or "gate"
            raise ValueError(f"{name}: {problem['msg']}; see steps/promote/policy.py") from None
        return given

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        chosen = [name for name in ("version", "model", "rollback") if getattr(self, name)]
        if len(chosen) != 1:
            raise ValueError("give version=FOLDER, model=NAME or rollback=NAME, one of them")
        return self
