"""Runs that are compared: MLflow's run and those of its nodes, with the records and artifacts that this machine has of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.runs import RUNNING, all_runs
from artifacts.runs import Run as Record
from artifacts.store import Store
from pipelines.comparison.choice import id_of, name_of
from pipelines.nodes import config_class
from steps.step import STEPS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_OUTCOMES = {  # of our records and of MLflow
    "interrupted": "killed", "KILLED": "killed", "FAILED": "failed", "FINISHED": "made", "RUNNING": "running",
    "SCHEDULED": "running", "reused": "cached",
}  # fmt: skip


@dataclass(frozen=True)
class NodeRun:
    """One node of a run. `maker` is the MLflow run with its metrics: its own, or the one that made what the cache had."""

    id: str
    step: str
    outcome: str  # made, cached, failed, killed, running
    seconds: float | None  # of a cached one, those of its maker
    digest: str
    fingerprint: str
    maker: Run
    folder: Path | None  # its artifact on this machine, or the work of one that made none (so far)

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters as MLflow has them, without the folders of its inputs."""
        inputs = config_class(self.step).artifact_inputs() if self.step in STEPS else {}
        known = {name: value for name, value in self.maker.data.params.items() if name.partition(".")[0] not in inputs}
        return {name: str(known[name]) for name in sorted(known)}


@dataclass(frozen=True)
class ComparedRun:
    """One run of a pipeline, or of a step alone."""

    id: str
    mlflow_id: str
    name: str
    pipeline: str
    started_at: float
    state: str
    version: str
    nodes: Mapping[str, NodeRun] = field(default_factory=dict)


@dataclass
class Reader:
    """Reads runs from MLflow, and from the records of a store."""

    client: MlflowClient
    store: Store
    _makers: dict[str, Run] = field(default_factory=dict)
    _records: dict[str, Record] | None = None

    def read(self, run: Run) -> ComparedRun:
        """A run with its nodes in the order in which they started."""
        record = self._record(id_of(run))
        state = _state(run.info.status, record)
        tags = run.data.tags
        if "glassformer.pipeline" in tags:
            clause = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' AND tags.`glassformer.node` IS NOT NULL"
            children = self.client.search_runs(
                [run.info.experiment_id], clause, max_results=1000, order_by=["attributes.start_time ASC"]
            )
        else:
            children, record = [run], None
        nodes = [self._node(child, state, record) for child in children]  # of several attempts, the last one counts
        what = tags.get("glassformer.pipeline") or tags.get("glassformer.node") or tags.get("glassformer.step", "")
        return ComparedRun(
            id_of(run), run.info.run_id, name_of(run), what, run.info.start_time / 1000, state,
            record.version if record else "", {node.id: node for node in nodes},
        )  # fmt: skip

    def _node(self, child: Run, state: str, record: Record | None) -> NodeRun:
        tags = child.data.tags
        step = tags.get("glassformer.step", "")
        name = tags.get("glassformer.node") or step
        known = record.nodes.get(name, {}) if record else {}
        status = _OUTCOMES.get(child.info.status, child.info.status.lower())
        if status == "running" and state != "running":
            status = "killed"
        if tags.get("glassformer.cached") == "true":
            status = "cached"
        outcome = _OUTCOMES.get(known.get("state", ""), known.get("state") or status)
        maker = self._maker(tags.get("glassformer.made_by", "")) or child
        seconds = known.get("seconds", maker.data.metrics.get("step.seconds"))
        if seconds is None and child.info.end_time and outcome in ("failed", "killed"):
            seconds = (child.info.end_time - child.info.start_time) / 1000
        digest = known.get("digest") or tags.get("glassformer.digest", "")
        fingerprint = known.get("fingerprint") or tags.get("glassformer.fingerprint", "")
        folder = self._folder(known.get("path", ""), step, fingerprint, outcome)
        return NodeRun(name, step, outcome, seconds, digest, fingerprint, maker, folder)

    def _maker(self, run_id: str) -> Run | None:
        if not run_id:
            return None
        if run_id not in self._makers:
            from mlflow.exceptions import MlflowException

            with suppress(MlflowException):  # deleted meanwhile
                self._makers[run_id] = self.client.get_run(run_id)
        return self._makers.get(run_id)

    def _folder(self, path: str, step: str, fingerprint: str, outcome: str) -> Path | None:
        """The artifact of a node, or the work of one that made none: a later run may have gone on from it since."""
        if outcome not in ("made", "cached"):
            folder = self.store.work(fingerprint or "-")
        else:
            path = path or (self.store.record(step, fingerprint or "-") or {}).get("artifact", {}).get("path", "")
            folder = self.store.root / (path or "-")
        return folder if folder.is_dir() else None

    def _record(self, run_id: str) -> Record | None:
        if self._records is None:
            self._records = {run.id: run for run in all_runs(self.store.root)}
        return self._records.get(run_id)


def fingerprint_record(store: Store, node: NodeRun) -> dict[str, Any]:
    """The record of a finished node with its fingerprint's parts; empty if this machine has none."""
    for file in (store.root / "records").glob(f"*/{node.fingerprint or '-'}.json"):
        with suppress(OSError, ValueError):
            record: dict[str, Any] = atomic.read_json(file)
            return record
    return {}


def _state(status: str, record: Record | None) -> str:
    if record:
        ended = record.ended_at or record.is_alive()
        return _RUN_STATES.get(record.state if ended else "KILLED", record.state.lower())
    return _RUN_STATES.get(status, status.lower())


_RUN_STATES = {"FINISHED": "done", "FAILED": "failed", "KILLED": "killed", RUNNING: "running", "SCHEDULED": "running"}
