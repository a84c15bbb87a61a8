"""Run a pipeline: plan each node, take it from the cache or run its step, continue with its artifact."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from artifacts import Artifact, ArtifactError, atomic, open_artifact
from artifacts.errors import UserError
from artifacts.runs import Run
from artifacts.store import Store
from pipelines import jobs, launch
from pipelines.graph import Node, Pipeline
from pipelines.jobs import Workers
from pipelines.mlflow_run import MlflowRun
from pipelines.node_run import NodeRunner
from pipelines.plan import HIT, Planned, Planner
from telemetry import Interrupted, Observe
from telemetry.names import STATES


@dataclass
class Driver:
    """One run of one pipeline."""

    pipeline: Pipeline
    store: Store
    workers: Workers
    run: Run
    observe: Observe
    mlflow_run: MlflowRun
    planner: Planner
    runner: NodeRunner
    nodes: list[Node]
    must_hit: set[str]  # with --from: what comes before it and is only taken
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    _waiting: dict[str, Node] = field(default_factory=dict)

    def execute(self) -> None:
        """Run the nodes, each once its inputs are made: as many side by side as there are workers."""
        with self.observe.span("plan"):  # the first span that ends: by it the trace of a run can be found from here on
            plan = [self.planner.plan(node).as_json() for node in self.nodes]
            self.planner.problems.raise_if_any()
        self.mlflow_run.plan(plan)
        missing = [node.id for node in self.nodes if self.planner.planned[node.id].state != HIT]
        self.runner.side_by_side = self.workers.jobs > 1 and self.pipeline.branches(missing)
        self._waiting = {node.id: node for node in self.nodes}
        self._work()
        order = [node.id for node in self.nodes]  # and not the one in which they ended
        self.artifacts = {node: self.artifacts[node] for node in order}
        self.costs = {node: self.costs[node] for node in order}

    def _work(self) -> None:
        """Start nodes and finish those that ended, until none is left. After a failure no other starts; those at work end first,
        since what they make is kept, and then the failure is raised."""
        failure: Exception | None = None
        try:
            while True:
                try:
                    if failure is None:
                        self._start_ready()
                    if not self.workers.at_work:
                        break
                    self._finish_one()
                except Exception as error:
                    failure = failure or error
                    if others := ", ".join(self.workers.at_work):
                        self.observe.log("node.failed", f"{error}; waiting for the end of {others}", level="error")
        except Interrupted as error:
            self.workers.stop(error.signal_number)
            launch.end_children(self.workers.all_ended)
            self.workers.wait(5.0)
            raise
        if failure is not None:
            raise failure

    def _start_ready(self) -> None:
        """Take what is in the cache, and start workers for the rest."""
        while not self.workers.full:
            at_work = [worker.node for worker in self.workers.at_work.values()]
            node = next(jobs.ready(self._waiting.values(), self.artifacts, at_work), None)
            if node is None:
                return
            planned = self._replan(node)
            del self._waiting[node.id]
            if planned.state == HIT and (made := self._check(planned)):
                self._take(planned, made)
                continue
            planned = self.planner.planned[node.id]
            if node.id in self.must_hit and not planned.lost:
                raise UserError(
                    f"--from: {node.id} is not in the cache ({'; '.join(planned.reasons[:2])}); run without --from", 2
                )
            self._announce(planned)
            self._start_worker(planned)

    def _start_worker(self, planned: Planned) -> None:
        inputs = {name: self.artifacts[feeder] for name, feeder in planned.node.inputs.items()}
        with self.observe.hold_signals():  # a worker is started and known, or neither
            self.workers.start(planned.node, lambda: self.runner.run(planned, inputs))

    def _finish_one(self) -> None:
        """Wait for a worker, and take over what it made."""
        worker = self.workers.next_ended()
        if worker.error is not None:
            raise worker.error
        if not worker.answer["artifact"]:
            return  # promote
        planned = self.planner.planned[worker.node.id]
        made = open_artifact(self.store.root / worker.answer["artifact"]["path"], check=False)
        self._finish(planned, made, {**worker.answer, "cached": worker.answer["state"] == "reused"})

    def promote(self) -> None:
        """Run the entry point `promote` on this pipeline's registered version, if it registered one."""
        registered = [node for node in self.nodes if node.step == "register"]
        if not registered:
            return
        node = Node("promote", "promote", {"version": registered[-1].id}, {"gate": dict(self.pipeline.gate)})
        planned = Planned(node, "MISS", ("promotion is never cached",), {}, uuid.uuid4().hex, None, None)
        self._start_worker(planned)
        self._work()

    def results(self) -> dict[str, Any]:
        """The results for the parent run: lineage, cost per node, totals, corpora."""
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
        corpora = {
            one.digest: atomic.read_json(one.file("corpus.json"))
            for one in self.artifacts.values()
            if one.kind == "corpus"
        }
        return {"lineage": list(lineage.values()), "cost": self.costs, "totals": totals, "corpora": corpora}

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
        self.observe.metric("node.state", STATES["cached"], node=planned.node.id)
        self._finish(planned, made, {**planned.record, "cached": True})

    def _announce(self, planned: Planned) -> None:
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

    def _finish(self, planned: Planned, made: Artifact, cost: dict[str, Any]) -> None:
        node = planned.node.id
        self.artifacts[node] = made
        self.planner.record_result(node, made.digest)
        self.costs[node] = {key: cost[key] for key in ("cached", "seconds", "cpu_seconds", "peak_bytes")}
        about = {
            "state": "cached" if cost["cached"] else "made",
            "digest": made.digest,
            "path": self.store.path_of(made),
            "seconds": cost["seconds"],
            "fingerprint": str(planned.fingerprint),
        }
        self.run.put_node(node, about)
        self.run.save()
