"""Compare a candidate with the champion on the same rows, keep the evidence, record the decision and move the alias."""

from __future__ import annotations

import getpass
import os
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.errors import TemporaryError, UserError
from steps import tracking
from steps.promote.comparison import look
from steps.promote.evidence import FILE, write
from steps.promote.history import OVERRIDE, PROMOTE, ROLLBACK, Decision, History
from steps.promote.judgement import Judgement
from steps.promote.model_process import contender
from steps.promote.policy import Policy

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from artifacts import Artifact
    from steps.promote.config import Config
    from telemetry import Observe

_FOLDER = "gate"  # of the run's artifacts
_TRIES = 3  # races that may be lost
_DECIDED = {"promote": 1.0, "refuse": 0.0, "undecided": 2.0, "override": 3.0}  # as telemetry/names.py has them


def run(config: Config, inputs: Mapping[str, Artifact], output: None, observe: Observe) -> None:
    """Promote a candidate if the gate says so, or roll back."""
    if config.rollback:
        roll_back(config, observe)
    else:
        promote(config, inputs, observe)


def promote(config: Config, inputs: Mapping[str, Artifact], observe: Observe) -> None:
    """Ask the gate about a candidate, and move the alias if it says so, or if it is overridden."""
    with observe.phase("open"):
        client = tracking.connect()
    with tracking.outages_explained():
        name, number = _candidate(client, config, inputs)
        history, by = History(client, name, config.alias), who()
        policy = Policy(**config.gate)
        _may_override(config, policy, by)
        if moved := history.reconcile():
            message = f"{config.alias} of {name} was not where the history has it: version {moved} again"
            observe.log("alias.reconciled", message, level="warning", model=name, version=moved)
        for _ in range(_TRIES):
            champion = _standing(history)
            if champion == number:
                message = f"{config.alias} of {name} stays version {number}: version {number} is the champion already"
                observe.log("model.promoted", message, promoted=False, outcome="refuse", model=name)
                return
            if _decide(client, config, policy, history, number, champion, by, inputs, observe):
                return
        raise TemporaryError(f"{name}: {_TRIES} others were quicker, each with another champion; run it again")


def roll_back(config: Config, observe: Observe) -> None:
    """Put the champion before the present one back."""
    client, name = tracking.connect(), config.rollback
    with tracking.outages_explained():
        history = History(client, name, config.alias)
        history.reconcile()
        champion, previous = history.champion(), history.previous()
        if not previous:
            raise UserError(
                f"{name}: {config.alias} has no version before {champion or 'the first'} that is still there"
            )
        why = config.override or "rolled back"
        decision = Decision(
            ROLLBACK, config.alias, champion, previous, why, who(), run_id=os.environ.get("MLFLOW_RUN_ID", ""),
            trace_id=observe.trace_id,
        )  # fmt: skip
        if not history.decide(decision).holds:
            raise TemporaryError(
                f"{name}: somebody else was quicker: {config.alias} is version {history.champion()} now"
            )
    message = f"{name} version {previous} is {config.alias} again, in place of {champion}: {why}"
    observe.log("model.rolled_back", message, level="warning", model=name, version=previous)


def who() -> str:
    """Name of the one who decides: GLASSFORMER_USER, the name given to MLflow's server, or this machine's user."""
    named = os.environ.get("GLASSFORMER_USER") or os.environ.get("MLFLOW_TRACKING_USERNAME")
    if named:
        return named
    user = "somebody"
    with suppress(Exception):  # a container may run under a number without a name
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def _candidate(client: MlflowClient, config: Config, inputs: Mapping[str, Artifact]) -> tuple[str, str]:
    if "version" in inputs:
        file = inputs["version"].sidecar("registered.json")
        try:
            registered = atomic.read_json(file)
            return str(registered["name"]), str(registered["version"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}: names no version ({error}); give model=NAME and candidate=NUMBER") from None
    if config.candidate.isdigit():
        return config.model, config.candidate
    number = History(client, config.model, config.candidate).alias_version()
    if not number:
        raise UserError(f"{config.model}: no version has the alias {config.candidate}; give candidate=NUMBER")
    return config.model, number


def _may_override(config: Config, policy: Policy, by: str) -> None:
    allowed = policy.overriders
    if config.override and allowed and by not in allowed and by.partition("@")[0] not in allowed:
        raise UserError(f"{by} may not override this gate; its policy lets {', '.join(allowed)}")


def _standing(history: History) -> str:
    """The champion to compare a candidate with, or an empty string if there is none any more."""
    champion = history.champion()
    return champion if champion and history.exists(champion) else ""


def _decide(
    client: MlflowClient, config: Config, policy: Policy, history: History, number: str, champion: str, by: str,
    inputs: Mapping[str, Artifact], observe: Observe,
) -> bool:  # fmt: skip
    """Look, keep the evidence, decide. False if another decision came first, so that the look was at another champion."""
    name = history.name
    ids = {"run_id": os.environ.get("MLFLOW_RUN_ID", ""), "trace_id": observe.trace_id}
    with tempfile.TemporaryDirectory(prefix="glassformer-gate-") as work:
        with observe.phase("load"):
            candidate = contender(client, name, number, Path(work))
        looked = look(client, config, policy, candidate, champion, by, ids, inputs, Path(work), observe)
        with observe.phase("page"):
            bundle = Path(work) / "bundle"
            bundle.mkdir()
            digest = write(bundle, looked.numbers, looked.blocks)
            if ids["run_id"]:
                client.log_artifacts(ids["run_id"], str(bundle), _FOLDER)
    judgement, wins = looked.judgement, looked.judgement.outcome == "promote"
    overridden = bool(config.override) and not wins
    address = f"runs:/{ids['run_id']}/{_FOLDER}" if ids["run_id"] else ""
    if wins or overridden:
        kind, why = (
            (OVERRIDE, f"{config.override} (the gate: {judgement.reason})")
            if overridden
            else (PROMOTE, judgement.reason)
        )
        before = history.champion()
        decision = Decision(
            kind, config.alias, before, number, why, by, address, digest, ids["run_id"], ids["trace_id"]
        )
        if before not in (champion, "") and history.exists(before):
            return False
        if not history.decide(decision).holds:
            return False
    outcome = "override" if overridden else judgement.outcome
    for key, value in (("gate", outcome), ("gate_reason", judgement.reason[:4000]), ("gate_evidence", address)):
        if value:
            client.set_model_version_tag(name, number, f"glassformer.{key}", value)
    _tell(observe, config, name, number, champion, judgement, outcome)
    return True


def _tell(
    observe: Observe, config: Config, name: str, number: str, champion: str, judgement: Judgement, outcome: str
) -> None:
    observe.metric("gate.decision", _DECIDED[outcome], model=name)
    moved = outcome in ("promote", "override")
    message = (
        f"{name} version {number} is now {config.alias}"
        if moved
        else (f"{config.alias} of {name} stays {f'version {champion}' if champion else 'without a version'}")
    )
    against = f", against the gate ({config.override})" if outcome == "override" else ""
    undecided = ", undecided" if outcome == "undecided" else ""
    level: Any = "warning" if outcome == "override" else "info"
    observe.log(
        "model.promoted",
        f"{message}{against}{undecided}: {judgement.reason}",
        level=level,
        promoted=moved,
        outcome=outcome,
        model=name,
        version=number,
    )


def bundle_file(client: MlflowClient, decision: Decision, into: Path) -> Path | None:
    """The evidence of a decision, as JSON; None if it has none or it is gone."""
    run_id, _, folder = decision.evidence.removeprefix("runs:/").partition("/")
    if not run_id:
        return None
    with suppress(Exception):
        return Path(client.download_artifacts(run_id, f"{folder}/{FILE}", str(into)))
    return None
