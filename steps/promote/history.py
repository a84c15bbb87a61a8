"""The history of an alias: every decision about it, in the registry itself, and the alias that follows from it.

MLflow keeps no history of aliases and does not say who moved one. So each decision is a version of a second registered
model, `NAME.history`: the registry numbers versions one after another, even for simultaneous clients, and writes a version
with its tags in one transaction. So all clients see the same decisions in the same order, without a common clock.

Which of them hold is computed, by the same rule everywhere: in order, a decision holds if it was made against the champion
of that moment (`before`); else it lost a race, and changes nothing. A decision is written first, then the alias is set to
the holding decision. A client that finds the alias elsewhere corrects it, so the next one completes interrupted work.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from artifacts.errors import TemporaryError, UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SUFFIX = ".history"
MARK = "glassformer.history_of"  # tag of the second registered model
PROMOTE, OVERRIDE, ROLLBACK = "promote", "override", "rollback"
_PREFIX = "glassformer.decision."
_PATIENCE = 60.0  # seconds that a busy registry is asked again
_LONGEST = 4000  # characters of a reason
_LOOKS = 100  # how often the alias is set right before somebody must look

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Decision:
    """One decision about an alias. Versions are numbers as the registry writes them; empty for none."""

    kind: str
    alias: str
    before: str
    to: str
    why: str
    by: str
    evidence: str = ""  # where the bundle lies: an address of MLflow's
    digest: str = ""  # sha256 of its evidence.json
    run_id: str = ""
    trace_id: str = ""
    number: int = 0  # given by the registry
    at: float = 0.0  # likewise, seconds since 1970
    holds: bool = False


class History:
    """The decisions about one alias of one model."""

    def __init__(self, client: MlflowClient, name: str, alias: str = "champion") -> None:
        self.client, self.name, self.alias = client, name, alias

    def decisions(self) -> list[Decision]:
        """All of them, oldest first, each with whether it holds."""
        decisions = [_read(version) for version in self._versions()]
        return replay([one for one in decisions if one.alias == self.alias])

    def numbers(self) -> list[int]:
        """Numbers of all decisions, of other aliases too: the registry counts without a gap."""
        return [int(version.version) for version in self._versions()]

    def alias_version(self) -> str:
        """The version that has the alias now; empty for none."""
        try:
            return str(self.client.get_registered_model(self.name).aliases.get(self.alias, ""))
        except Exception as error:
            if not _is(error, "RESOURCE_DOES_NOT_EXIST"):
                raise
            raise UserError(f"{self.name}: no such registered model") from None

    def champion(self) -> str:
        """The champion by the decisions, or by the alias if there is no decision yet."""
        return champion_of(self.decisions(), self.alias_version())

    def exists(self, version: str) -> bool:
        """Whether the registry still has this version."""
        try:
            self.client.get_model_version(self.name, version)
        except Exception as error:
            if not _is(error, "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return False
        return True

    def decide(self, decision: Decision) -> Decision:
        """Write a decision, then move the alias to the holding one. Returns the decision, which may have lost a race."""
        self._make_model()
        number = self._write(decision)
        held = next(one for one in self.decisions() if one.number == number)
        self.reconcile()
        return held

    def reconcile(self) -> str:
        """Set the alias to the holding decision. Returns the version it was moved to, or an empty string if it was right."""
        moved = ""
        for _ in range(_LOOKS):
            wanted = champion_of(self.decisions(), "")
            if not wanted or self.alias_version() == wanted or not self.exists(wanted):
                return moved
            _patiently(partial(self.client.set_registered_model_alias, self.name, self.alias, wanted))
            moved = wanted
        raise TemporaryError(f"{self.name}: the alias {self.alias} is moved again and again; find out by whom")

    def previous(self) -> str:
        """The champion before the present one, which a rollback puts back; the empty string where there was none."""
        stack = champions(self.decisions())
        return next((version for version in reversed(stack[:-1]) if self.exists(version)), "")

    def _versions(self) -> list[Any]:
        versions: list[Any] = []
        token: str | None = None
        while True:
            page = self.client.search_model_versions(f"name='{self.name}{SUFFIX}'", max_results=1000, page_token=token)
            versions += page
            token = page.token
            if not token:
                return sorted(versions, key=lambda version: int(version.version))

    def _make_model(self) -> None:
        about = f"Decisions about the aliases of {self.name}, a version each. Written by the gate; not a model."
        try:
            _patiently(
                lambda: self.client.create_registered_model(f"{self.name}{SUFFIX}", {MARK: self.name}, about),
            )
        except Exception as error:
            if not _is(error, "RESOURCE_ALREADY_EXISTS"):
                raise

    def _write(self, decision: Decision) -> int:
        given = {
            "kind": decision.kind, "alias": decision.alias, "before": decision.before, "to": decision.to,
            "why": decision.why[:_LONGEST], "by": decision.by, "evidence": decision.evidence, "digest": decision.digest,
            "trace_id": decision.trace_id,
        }  # fmt: skip
        tags = {f"{_PREFIX}{key}": value for key, value in given.items() if value}
        source = decision.evidence or f"models:/{self.name}/{decision.to}"
        made = _patiently(lambda: self.client.create_model_version(
            f"{self.name}{SUFFIX}", source, decision.run_id or None, tags=tags, description=describe(decision),
            await_creation_for=0,
        ))  # fmt: skip
        return int(made.version)


def replay(decisions: Sequence[Decision]) -> list[Decision]:
    """The same, each with whether it holds: made against the champion of its moment. The first one always does."""
    champion, found = None, []
    for one in decisions:
        holds = champion is None or one.before == champion
        found.append(replace(one, holds=holds))
        champion = one.to if holds else champion
    return found


def champion_of(decisions: Sequence[Decision], otherwise: str) -> str:
    """The champion after these decisions."""
    return next((one.to for one in reversed(decisions) if one.holds), otherwise)


def champions(decisions: Sequence[Decision]) -> list[str]:
    """The champions one above another, the present one last: a rollback takes the topmost away."""
    stack: list[str] = []
    for one in decisions:
        if not one.holds:
            continue
        if not stack and one.before:
            stack.append(one.before)  # of a time without a history
        if one.kind == ROLLBACK and one.to in stack:
            while stack[-1] != one.to:
                stack.pop()
        else:
            stack.append(one.to)
    return stack


def describe(decision: Decision) -> str:
    """A decision as a sentence."""
    was = f"was {decision.before}" if decision.before else "there was none"
    words = {PROMOTE: "is", OVERRIDE: "is, against the gate,", ROLLBACK: "is again"}
    return f"Version {decision.to} {words[decision.kind]} {decision.alias} ({was}), by {decision.by}: {decision.why}"[
        :_LONGEST
    ]


def _read(version: Any) -> Decision:
    tags = version.tags
    values = {
        name: tags.get(f"{_PREFIX}{name}", "")
        for name in ("kind", "alias", "before", "to", "why", "by", "evidence", "digest", "trace_id")
    }
    return Decision(
        **values, run_id=version.run_id or "", number=int(version.version), at=version.creation_timestamp / 1000
    )


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask again while the registry is busy with others: each waits a time of its own."""
    deadline, wait = time.monotonic() + _PATIENCE, 0.02
    while True:
        try:
            return ask()
        except Exception as error:
            busy = any(sign in str(error) for sign in ("database is locked", "Giving up after", "UNIQUE constraint"))
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(1.0, wait * 2)


def _is(error: Exception, *codes: str) -> bool:
    return getattr(error, "error_code", "") in codes
