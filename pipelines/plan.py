"""The plan: for each node HIT or MISS, why a miss, and how long it took when it last ran. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from artifacts import ArtifactError
from artifacts.errors import UserError
from artifacts.store import Store
from pipelines.fingerprint import Environment, Parts, differences, fingerprint, parts_of
from pipelines.graph import Node, Pipeline
from pipelines.history import History
from pipelines.problems import Problems
from steps.step import load_step

HIT, MISS = "HIT", "MISS"


@dataclass(frozen=True)
class Planned:
    """The plan of one node."""

    node: Node
    state: str
    reasons: tuple[str, ...]
    parts: Parts
    fingerprint: str | None
    record: dict[str, Any] | None  # of a HIT: how it was made
    last: dict[str, Any] | None  # the record of its last run in this pipeline, under whatever fingerprint
    lost: str = ""  # why the artifact of its record cannot be used: it is made again

    @property
    def digest(self) -> str | None:
        return str(self.record["artifact"]["digest"]) if self.record else None

    @property
    def seconds_last(self) -> float | None:
        known = self.record or self.last
        return float(known["seconds"]) if known and "seconds" in known else None

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.node.id,
            "step": self.node.step,
            "state": self.state,
            "reasons": list(self.reasons),
            "fingerprint": self.fingerprint,
            "artifact": self.digest,
            "seconds_last": self.seconds_last,
        }


class Planner:
    """Plans the nodes of one pipeline one after another; a run reports the artifact of each node to it."""

    def __init__(self, pipeline: Pipeline, store: Store, force: Iterable[str] = ()) -> None:
        self.pipeline = pipeline
        self.store = store
        self.force = set(force)
        self.environment = Environment(root=store.root)
        self.history = History(store, pipeline.name)
        self.problems = Problems()
        self.planned: dict[str, Planned] = {}
        self.digests: dict[str, str | None] = {}

    def plan(self, node: Node) -> Planned:
        """Plan one node, after those that feed it; the result counts for later nodes.

        What is wrong with the user's files goes to `problems`.
        """
        inputs = {name: self.digests.get(feeder) for name, feeder in sorted(node.inputs.items())}
        try:
            parts = parts_of(node, inputs, self.environment)
        except (UserError, ArtifactError) as error:
            return self._refuse(node, str(error))
        key = fingerprint(node.step, parts)
        record = self.store.record(node.step, key) if key else None
        lost = self._problem(record) if record else ""
        state = HIT if record and not lost and node.id not in self.force else MISS
        last = None if state == HIT else self.history.last(node)
        reasons = [] if state == HIT else self._reasons(node, parts, lost, last)
        if state == MISS and not lost:
            self._check_files(node)
        kept = record if state == HIT else None
        planned = Planned(node, state, tuple(reasons), parts, key, kept, record if lost else last, lost)
        self.planned[node.id] = planned
        # What is made again of the same is the same: what follows need not run again.
        self.digests[node.id] = str(record["artifact"]["digest"]) if record and lost else planned.digest
        return planned

    def record_result(self, node: str, digest: str) -> None:
        """Record the artifact of a node that ran: later nodes are planned with it (and may be HITs after all)."""
        self.digests[node] = digest

    def replan_lost(self, planned: Planned, why: str) -> Planned:
        """The plan of a HIT whose artifact turned out to be damaged."""
        again = replace(
            planned, state=MISS, reasons=(f"its artifact is lost: {why}",), last=planned.record, record=None, lost=why
        )
        self.planned[planned.node.id] = again
        return again

    def _problem(self, record: dict[str, Any]) -> str:
        """The reason a record's artifact cannot be used, or an empty string. Files known to be unchanged are not read."""
        try:
            self.store.artifact(record, check=True, sha256=self.environment.hashes.sha256)
        except ArtifactError as error:
            return str(error).partition(";")[0]
        self.environment.hashes.keep()
        return ""

    def _refuse(self, node: Node, why: str) -> Planned:
        self.problems.add(why, self.pipeline.name, node.id)
        self.digests[node.id] = None
        self.planned[node.id] = planned = Planned(node, MISS, (why,), {}, None, None, None)
        return planned

    def _check_files(self, node: Node) -> None:
        try:
            load_step(node.step).check(node.config_with(dict.fromkeys(node.inputs, "-")))
        except UserError as error:
            self.problems.add(str(error), self.pipeline.name, node.id)

    def _reasons(self, node: Node, parts: Parts, lost: str, last: dict[str, Any] | None) -> list[str]:
        reasons = [
            f"input {name}: {feeder} runs again ({self._root(feeder)})"
            for name, feeder in node.inputs.items()
            if self.digests.get(feeder) is None
        ]
        if node.id in self.force:
            return ["forced", *reasons]
        if lost:
            return [f"its artifact is lost: {lost}"]
        if last is None:
            return [f"never run before in {self.pipeline.name}"]
        changed = differences(node, last["parts"], parts)
        return [*changed, *reasons] or ["its record is gone"]

    def _root(self, node: str) -> str:
        """Why a node at the start of a chain of misses runs: its own first reason."""
        planned = self.planned[node]
        own = [reason for reason in planned.reasons if not reason.startswith("input ") or "runs again" not in reason]
        if own:
            return "; ".join(own[:3])
        feeders = [feeder for feeder in planned.node.inputs.values() if self.digests.get(feeder) is None]
        return self._root(feeders[0]) if feeders else "; ".join(planned.reasons)


def plan(
    pipeline: Pipeline, store: Store, force: Iterable[str] = (), only: Iterable[str] | None = None
) -> list[Planned]:
    """Plan a whole pipeline, or those of its nodes that `only` names. UserError names all that is wrong with the files."""
    planner = Planner(pipeline, store, force)
    wanted = set(pipeline.nodes if only is None else only)
    planned = [planner.plan(node) for node in pipeline.nodes.values() if node.id in wanted]
    planner.problems.raise_if_any()
    return planned
