"""Move the alias `champion` to a model version if it beats the champion: model version -> alias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from steps.contract import StepConfig, UserError, artifact

if TYPE_CHECKING:
    from artifacts import Artifact
    from telemetry import Observe

OUTPUT = None  # an alias in the registry; nothing on disk


class Config(StepConfig):
    version: str = artifact("model_version", "Model version to promote, as `register` made it")
    alias: str = Field("champion", pattern=r"^[a-z][a-z0-9_-]*$", description="Alias that the better version has")


@dataclass(frozen=True)
class Candidate:
    """A model version and what its report says."""

    number: int
    metric: str
    score: float
    higher_is_better: bool = True


@dataclass(frozen=True)
class Decision:
    """Whether the alias moves, and why."""

    promote: bool
    reason: str


def gate(candidate: Candidate, champion: Candidate | None) -> Decision:
    """The one place that decides. Today: a better primary metric than the champion's, or no champion yet."""
    if champion is None:
        return Decision(True, f"there was no champion; {candidate.metric} {candidate.score:.4f}")
    if champion.number == candidate.number:
        return Decision(False, f"version {candidate.number} is the champion already")
    if champion.metric != candidate.metric:
        known = champion.metric or "nothing that its tags name"
        return Decision(False, f"the champion is measured by {known}, the candidate by {candidate.metric}")
    shown = f"{candidate.metric} {candidate.score:.4f}, the champion version {champion.number} has {champion.score:.4f}"
    ahead = candidate.score - champion.score
    return Decision(ahead > 0 if candidate.higher_is_better else ahead < 0, shown)


def run(config: Config, inputs: Mapping[str, Artifact], output: None, observe: Observe) -> None:
    """Ask the gate, and move the alias if it says so."""
    from artifacts import durable
    from steps import tracking

    registered = durable.read_json(inputs["version"].sidecar("registered.json"))
    name, number = registered["name"], str(registered["version"])
    client = tracking.connect()
    with tracking.outages_explained():
        candidate = _described(_existing(client, name, number))
        holder = client.get_registered_model(name).aliases.get(config.alias)
        champion = _described(client.get_model_version(name, str(holder))) if holder else None
        decision = gate(candidate, champion)
        if decision.promote:
            client.set_registered_model_alias(name, config.alias, number)
    if champion is None or champion.number != candidate.number:  # a champion that runs again is refused nothing
        observe.metric("gate.decision", float(decision.promote), model=name)
    told = (
        f"{name} version {number} is now {config.alias}"
        if decision.promote
        else f"{config.alias} of {name} stays version {holder}"
    )
    observe.log("model.promoted", f"{told}: {decision.reason}", promoted=decision.promote)


def _existing(client: Any, name: str, number: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"{name} version {number} is not in the registry any more; run the pipeline, which registers again"
        ) from None


def _described(version: Any) -> Candidate:
    tags = version.tags
    return Candidate(
        int(version.version), tags.get("glassformer.metric", ""), float(tags.get("glassformer.score", "nan")),
        tags.get("glassformer.higher_is_better", "true") == "true",
    )  # fmt: skip


if __name__ == "__main__":
    from steps.wrapper import main

    main(Config, run)
