"""The plan: for each node HIT or MISS, why a miss, and how long it took last time. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from artifacts import ArtifactError
from artifacts.store import Store
from pipelines.fingerprint import Parts, Surroundings, differences, fingerprint, parts_of
from pipelines.graph import Node, Pipeline

HIT, MISS = "HIT", "MISS"


@dataclass(frozen=True)
class Planned:
    """What is to be done about one node."""

    node: Node
    state: str
    reasons: tuple[str, ...]
    parts: Parts
    fingerprint: str | None
    record: dict[str, Any] | None  # of a HIT: how it was made
    last: dict[str, Any] | None  # the record of its last run, under whatever fingerprint

    @property
    def digest(self) -> str | None:
        return str(self.record["artifact"]["digest"]) if self.record else None

    @property
    def seconds_last(self) -> float | None:
        known = self.record or self.last
        return float(known["seconds"]) if known else None

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.node.id, "step": self.node.step, "state": self.state, "reasons": list(self.reasons),
            "fingerprint": self.fingerprint, "artifact": self.digest, "seconds_last": self.seconds_last,
        }  # fmt: skip


class Planner:
    """Plans the nodes of one pipeline one after another; a run tells it what a node really made."""

    def __init__(self, pipeline: Pipeline, store: Store, force: Iterable[str] = ()) -> None:
        self.pipeline = pipeline
        self.store = store
        self.force = set(force)
        self.surroundings = Surroundings(root=store.root)
        self.planned: dict[str, Planned] = {}
        self.digests: dict[str, str | None] = {}

    def plan(self, node: Node) -> Planned:
        """Plan one node, after those that feed it; what is planned here counts for those that follow."""
        inputs = {name: self.digests.get(feeder) for name, feeder in sorted(node.inputs.items())}
        parts = parts_of(node, inputs, self.surroundings)
        key = fingerprint(node.step, parts)
        record = self.store.record(node.step, key) if key else None
        last = self._last_record(node)
        reasons = self._reasons(node, parts, record, last)
        state = MISS if reasons else HIT
        planned = Planned(node, state, tuple(reasons), parts, key, record if state == HIT else None, last)
        self.planned[node.id] = planned
        self.digests[node.id] = planned.digest
        return planned

    def made(self, node: str, digest: str) -> None:
        """A node ran and made this: what follows is planned with it (and may be a HIT after all)."""
        self.digests[node] = digest

    def _reasons(
        self, node: Node, parts: Parts, record: dict[str, Any] | None, last: dict[str, Any] | None
    ) -> list[str]:
        reasons = [f"input {name}: {feeder} runs again ({self._root(feeder)})"
                   for name, feeder in node.inputs.items() if self.digests.get(feeder) is None]  # fmt: skip
        if node.id in self.force:
            return ["forced", *reasons]
        if record is not None:
            try:
                self.store.artifact(record, check=False)
            except ArtifactError as error:
                return [f"its artifact cannot be used: {error}"]
            return []
        if last is None:
            return [f"never run before ({node.step})"]
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

    def _last_record(self, node: Node) -> dict[str, Any] | None:
        """The newest record of this node in this pipeline, else in any."""
        records = self.store.records(node.step)
        own = [record for record in records if record["node"] == node.id]
        here = [record for record in own if record["pipeline"] == self.pipeline.name]
        found = here or own
        return found[-1] if found else None


def plan(
    pipeline: Pipeline, store: Store, force: Iterable[str] = (), only: Iterable[str] | None = None
) -> list[Planned]:
    """Plan a whole pipeline, or those of its nodes that `only` names."""
    planner = Planner(pipeline, store, force)
    wanted = set(pipeline.nodes if only is None else only)
    return [planner.plan(node) for node in pipeline.nodes.values() if node.id in wanted]
