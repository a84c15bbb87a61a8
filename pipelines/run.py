"""Run a pipeline: plan each node, take it from the cache or run its step, continue with its artifact."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artifacts import Artifact, ArtifactError, open_artifact
from artifacts.errors import EXIT_TEMPORARY, UserError
from artifacts.runs import Run
from artifacts.store import Store
from pipelines import launch
from pipelines.graph import Node, Pipeline
from pipelines.mlflow_run import MlflowRun
from pipelines.plan import HIT, Planned, Planner
from redaction import redact
from steps import handoff
from telemetry import Interrupted, Observe
from telemetry.names import STATES

_PAUSES = (2.0, 10.0, 30.0)  # seconds before a retry


class StepError(Exception):
    """A step failed and has reported the reason."""

    def __init__(self, node: str, answer: dict[str, Any]) -> None:
        super().__init__(answer.get("error") or f"{node} failed")
        self.node, self.exit_code = node, int(answer.get("exit_code", 1))


@dataclass
class Driver:
    """One run of one pipeline."""

    pipeline: Pipeline
    store: Store
    run: Run
    observe: Observe
    mlflow_run: MlflowRun
    planner: Planner
    nodes: list[Node]
    must_hit: set[str]  # with --from: what comes before it and is only taken
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def execute(self) -> None:
        """Run the nodes in order."""
        plan = [self.planner.plan(node).as_json() for node in self.nodes]
        self.planner.problems.raise_if_any()
        self.mlflow_run.plan(plan)
        for node in self.nodes:
            planned = self._replan(node)
            if planned.state == HIT and (made := self._check(planned)):
                self._take(planned, made)
                continue
            planned = self.planner.planned[node.id]
            if node.id in self.must_hit and not planned.lost:
                raise UserError(
                    f"--from: {node.id} is not in the cache ({'; '.join(planned.reasons[:2])}); run without --from", 2
                )
            self._make(planned)

    def promote(self) -> dict[str, Any] | None:
        """Run the entry point `promote` on this pipeline's registered version; None if it registered nothing."""
        registered = [node for node in self.nodes if node.step == "register"]
        if not registered:
            return None
        node = Node("promote", "promote", {"version": registered[-1].id}, {"gate": dict(self.pipeline.gate)})
        planned = Planned(node, "MISS", ("promotion is never cached",), {}, uuid.uuid4().hex, None, None)
        return self._start(planned)

    def results(self) -> dict[str, Any]:
        """The results for the parent run: lineage, cost per node, totals."""
        lineage = {entry["digest"]: entry for made in self.artifacts.values() for entry in made.lineage}
        ran = [cost for cost in self.costs.values() if not cost["cached"]]
        saved = sum(cost["seconds"] for cost in self.costs.values() if cost["cached"])
        totals = {
            "pipeline.seconds": round(time.monotonic() - self.began, 3),
            "pipeline.cpu_seconds": sum(cost["cpu_seconds"] for cost in ran),
            "pipeline.peak_bytes": max((cost["peak_bytes"] for cost in ran), default=0),
            "pipeline.cache_saved_seconds": saved,
            "pipeline.cache_hits": len(self.costs) - len(ran),
            "pipeline.cache_misses": len(ran),
        }
        return {"lineage": list(lineage.values()), "cost": self.costs, "totals": totals}

    def _replan(self, node: Node) -> Planned:
        for feeder in set(node.inputs.values()):
            self.planner.record_result(feeder, self.artifacts[feeder].digest)
        planned = self.planner.plan(node)
        self.planner.problems.raise_if_any()
        if planned.state == HIT and node.step == "register" and not self._still_registered(planned):
            self.planner.force.add(node.id)
            planned = self.planner.plan(node)
        return planned

    def _still_registered(self, planned: Planned) -> bool:
        from mlflow.exceptions import MlflowException

        from artifacts import atomic

        assert planned.record is not None
        made = self.store.artifact(planned.record, check=False)
        registered = atomic.read_json(made.sidecar("registered.json"))
        try:
            self.mlflow_run.client.get_model_version(registered["name"], str(registered["version"]))
        except MlflowException:
            self.observe.log(
                "register.version_gone",
                f"{registered['name']} version {registered['version']} is gone: registering again",
            )
            return False
        return True

    def _check(self, planned: Planned) -> Artifact | None:
        """The artifact of a HIT, each byte compared; None if it is damaged and must be computed again."""
        assert planned.record is not None
        try:
            return self.store.artifact(planned.record, check=True)
        except ArtifactError as error:
            self.planner.replan_lost(planned, str(error).partition(";")[0])
            return None

    def _take(self, planned: Planned, made: Artifact) -> None:
        assert planned.record is not None
        self.store.tidy(planned.node.step, str(planned.fingerprint))
        self.mlflow_run.cached_node(planned)
        self.observe.log(
            "node.cached", f"{planned.node.id}: from the cache, {made.kind} {made.digest[:12]}", node=planned.node.id
        )
        self.observe.count("pipeline.cache_hits", 1, node=planned.node.id)
        self.observe.count("pipeline.saved_seconds", planned.record["seconds"], node=planned.node.id)
        self._tell(planned.node, "cached")
        self._finish(planned, made, {**planned.record, "cached": True})

    def _make(self, planned: Planned) -> None:
        if planned.lost:
            kind = planned.last["artifact"]["kind"] if planned.last else "artifact"
            self.observe.log(
                "artifact.lost",
                f"{planned.lost}: {planned.node.id} makes the {kind} again",
                level="warning",
                node=planned.node.id,
            )
        self.observe.log(
            "node.started",
            f"{planned.node.id}: {'made again' if planned.lost else '; '.join(planned.reasons[:3])}",
            node=planned.node.id,
        )
        self.observe.count("pipeline.cache_misses", 1, node=planned.node.id)
        answer = self._start(planned)
        made = open_artifact(self.store.root / answer["artifact"]["path"], check=False)
        self._finish(planned, made, {**answer, "cached": answer["state"] == "reused"})

    def _start(self, planned: Planned) -> dict[str, Any]:
        """Start a node's step, again if it failed for something that can pass; StepError if it did not work."""
        node = planned.node
        self._tell(node, "running")
        for attempt in range(node.retries + 1):
            answer = self._attempt(planned)
            if answer["exit_code"] != EXIT_TEMPORARY or attempt == node.retries:
                break
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            self.observe.log(
                "node.retried",
                f"{node.id}: {answer.get('error')}; trying again in {pause:.0f} s",
                level="warning",
                node=node.id,
            )
            time.sleep(pause)
        if answer["exit_code"] != 0:
            self._tell(node, "killed" if answer["exit_code"] > 128 else "failed")
            raise StepError(node.id, answer)
        self._tell(node, "done")
        return answer

    def _tell(self, node: Node, state: str) -> None:
        self.observe.metric("node.state", STATES[state], node=node.id)

    def _attempt(self, planned: Planned) -> dict[str, Any]:
        node = planned.node
        inputs = {name: str(self.artifacts[feeder].path) for name, feeder in node.inputs.items()}
        config = node.config_with(inputs).model_dump(mode="json")
        child_run = self.mlflow_run.start_node(planned, config)
        task = handoff.Task(
            pipeline=self.pipeline.name,
            run=self.run.id,
            node=node.id,
            step=node.step,
            fingerprint=str(planned.fingerprint),
            parts=redact(planned.parts),
            forced=node.id in self.planner.force,
            file=str(Path(self.run.folder) / f"{node.id}.json"),
        )
        with (
            self.observe.span(
                "node",
                node=node.id,
                step=node.step,
                **{"cicd.pipeline.task.run.url.full": self.mlflow_run.address(child_run)},
            ),
            self.mlflow_run.forwarding(task.feed_file, child_run),
        ):
            try:
                answer = launch.run_step(node.step, config, task, child_run, self.observe.environment())
            except Interrupted:
                self.run.nodes[node.id] = {"state": "interrupted"}
                self._tell(node, "killed")
                raise
        self.run.nodes[node.id] = {"state": answer["state"]}
        if answer["exit_code"] == 0:
            report = (
                self.store.root / answer["artifact"]["path"] / "sidecars" / "report.html"
                if answer.get("artifact")
                else None
            )
            self.mlflow_run.end_node(planned, answer, report)
        return answer

    def _finish(self, planned: Planned, made: Artifact, cost: dict[str, Any]) -> None:
        node = planned.node.id
        self.artifacts[node] = made
        self.planner.record_result(node, made.digest)
        self.costs[node] = {key: cost[key] for key in ("cached", "seconds", "cpu_seconds", "peak_bytes")}
        self.run.nodes[node] = {
            "state": "cached" if cost["cached"] else "made",
            "digest": made.digest,
            "path": self.store.path_of(made),
            "seconds": cost["seconds"],
            "fingerprint": str(planned.fingerprint),
        }
        self.run.save()
