"""Move the alias `champion` to a model version if it is surely no worse than the champion: model version -> alias.

Beside the parameters below: --explain MODEL says why the champion is champion, --history MODEL lists the decisions,
--verify MODEL checks that alias, history, evidence and artifacts agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from steps.contract import Options, StepConfig, artifact
from steps.gate.policy import Policy
from steps.registry_names import Alias, ModelOrNone, Version

if TYPE_CHECKING:
    from artifacts import Artifact
    from telemetry import Observe

OUTPUT = None  # an alias in the registry; nothing on disk


class Config(StepConfig):
    examples = ("--model glassformer-docs", "--rollback glassformer-docs", "--explain glassformer-docs")

    version: str = artifact("model_version", "Model version to promote, as `register` made it", optional=True)
    model: ModelOrNone = Field("", description="Or, in its place: name of a registered model")
    candidate: Version = Field("challenger", description="of which this version is asked about: a number or alias")
    alias: Alias = Field("champion", description="Alias that the better version has")
    corpus: str = artifact("corpus", "Corpus to compare on; else that of the candidate's report", optional=True)
    gate: Options = Field({}, description="Policy, as {name: value}; see steps/gate/policy.py")
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
            raise ValueError(f"{name}: {problem['msg']}; see steps/gate/policy.py") from None
        return given

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        given = [name for name in ("version", "model", "rollback") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give version=FOLDER, model=NAME or rollback=NAME, one of them")
        return self


def run(config: Config, inputs: Mapping[str, Artifact], output: None, observe: Observe) -> None:
    """Ask the gate, keep its evidence, and move the alias if it says so."""
    from steps.gate import promoting

    if config.rollback:
        promoting.roll_back(config, observe)
    else:
        promoting.promote(config, inputs, observe)


if __name__ == "__main__":
    import sys

    from steps.gate.telling import answered
    from steps.wrapper import main

    if not answered(sys.argv[1:]):
        main(Config, run)
