"""The run of one node: its process, its span, its run in MLflow, and further attempts after an error that can pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from artifacts import Artifact
from artifacts.errors import EXIT_TEMPORARY
from artifacts.runs import Run
from pipelines import launch
from pipelines.graph import Node
from pipelines.jobs import Workers
from pipelines.mlflow_run import MlflowRun
from pipelines.plan import Planned
from redaction import redact
from steps import handoff
from telemetry import Interrupted, Observe, clock
from telemetry.names import STATES
from telemetry.progress import SIDE_BY_SIDE

_PAUSES = (2.0, 10.0, 30.0)  # seconds before a retry


class StepError(Exception):
    """A step failed and has reported the reason."""

    def __init__(self, node: str, answer: dict[str, Any]) -> None:
        super().__init__(answer.get("error") or f"{node} failed")
        self.node, self.exit_code = node, int(answer.get("exit_code", 1))


@dataclass
class NodeRunner:
    """Runs nodes of one run of a pipeline, each in a worker's thread."""

    root: Path  # of the store
    workers: Workers
    run_record: Run
    observe: Observe
    mlflow_run: MlflowRun
    forced: set[str]
    side_by_side: bool = False  # whether others write to the terminal meanwhile

    def run(self, planned: Planned, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
        """Run a node's step, again if it failed for something that can pass; StepError if it did not work."""
        node = planned.node
        self._tell(node, "running")
        attempt = 0
        while True:
            try:
                answer = self._attempt(planned, inputs)
            except StepError as error:
                if error.exit_code != EXIT_TEMPORARY or attempt == node.retries:
                    self._tell(node, "killed" if error.exit_code > 128 else "failed")
                    raise
                self._pause(node, attempt, error)
                attempt += 1
            else:
                self._tell(node, "done")
                return answer

    def _pause(self, node: Node, attempt: int, error: StepError) -> None:
        pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
        message = f"{node.id}: {error}; trying again in {pause:.0f} s"
        self.observe.log("node.retried", message, level="warning", node=node.id)
        with self.observe.span("pause", node=node.id):
            self.workers.pause(pause)

    def _tell(self, node: Node, state: str) -> None:
        self.observe.metric("node.state", STATES[state], node=node.id)

    def _attempt(self, planned: Planned, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
        """One process of the step. StepError within the node's span, if it failed: the span is marked as failed too."""
        node = planned.node
        self.workers.raise_if_stopped()
        folders = {name: str(artifact.path) for name, artifact in inputs.items()}
        config = node.config_with(folders).model_dump(mode="json")
        child_run = self.mlflow_run.start_node(planned, config)
        task = handoff.Task(
            pipeline=self.run_record.pipeline,
            run=self.run_record.id,
            node=node.id,
            step=node.step,
            fingerprint=str(planned.fingerprint),
            parts=redact(planned.parts),
            forced=node.id in self.forced,
            file=str(Path(self.run_record.folder) / f"{node.id}.json"),
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
            own = self.observe.environment() | ({SIDE_BY_SIDE: "1"} if self.side_by_side else {})
            try:
                own_task = replace(task, environment=own, launched_ns=clock.now_ns())
                answer = launch.run_step(node.step, config, own_task, child_run)
                if answered_ns := answer.get("answered_ns"):
                    self.observe.past("exit", answered_ns)
                self.workers.raise_if_stopped()
            except Interrupted:
                self.run_record.put_node(node.id, {"state": "interrupted"})
                self._tell(node, "killed")
                raise
            self.run_record.put_node(node.id, {"state": answer["state"]})
            if answer["exit_code"] != 0:
                raise StepError(node.id, answer)
        report = self.root / answer["artifact"]["path"] / "sidecars" / "report.html" if answer.get("artifact") else None
        self.mlflow_run.end_node(planned, answer, report)
        return answer
