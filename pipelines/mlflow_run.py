"""A pipeline run in MLflow: the parent run with plan, lineage and cost, and a child run for each node."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from artifacts.errors import TemporaryError
from artifacts.home import CHECKOUT
from artifacts.runs import FAILED, KILLED, RUNNING, Run, all_runs
from pipelines.plan import Planned
from redaction import redact
from steps import tracking
from telemetry import Observe
from telemetry.links import Links
from telemetry.mlflow_metrics import Courier, key_of, waiting
from telemetry.names import STATES

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

T = TypeVar("T")
_PATIENCE = 10.0  # seconds to wait at the end for metrics that MLflow has not taken yet
_PAUSES = (1.0, 2.0, 5.0, 10.0)  # seconds between tries of one call, once the run is under way


class MlflowRun:
    """Writes one pipeline run into MLflow. Its calls raise TemporaryError when the server is away."""

    def __init__(self, client: MlflowClient, run: Run, observe: Observe, parent: str) -> None:
        self.client, self.run, self.observe, self.parent = client, run, observe, parent
        self.experiment: str = client.get_run(parent).info.experiment_id
        self.links = Links.of(Path(run.folder).parent.parent / "outbox")

    @classmethod
    def open(cls, run: Run, observe: Observe, parameters: Mapping[str, Any]) -> MlflowRun:
        """Adopt the run that `mlflow run` created, or create one; close runs left open by dead processes."""
        client = tracking.connect()
        with tracking.outages_explained():
            close_abandoned(client, run, observe)
            parent = os.environ.pop("MLFLOW_RUN_ID", "") or _create_parent(client, run.pipeline)
            mlflow_run = cls(client, run, observe, parent)
            tracking.stay_in(mlflow_run.experiment)
            if "GLASSFORMER_PARENT_RUN" in os.environ:
                client.set_tag(parent, "mlflow.parentRunId", os.environ["GLASSFORMER_PARENT_RUN"])
            about = {"pipeline": run.pipeline, "run": run.id, "trace_id": observe.trace_id}
            mlflow_run._write(parent, {}, about | mlflow_run._links())
            if note := mlflow_run.note():
                client.set_tag(parent, "mlflow.note.content", note)  # also of a run that will not finish
            if parameters:
                tracking.log_parameters(client, parent, parameters)
        run.mlflow_runs[""] = parent
        run.save()
        address = mlflow_run.address()
        observe.log("run.opened", f"{run.pipeline}: in MLflow as {parent}", level="debug", mlflow_url=address)
        return mlflow_run

    def address(self, run_id: str = "") -> str:
        """The page of the pipeline's run in MLflow, or of a node's."""
        return self.links.mlflow_run(self.experiment, run_id or self.parent)

    def note(self) -> str:
        """Links for watching this run, in Markdown; empty without an address of Grafana."""
        return self.links.as_markdown(self.run.id, self.run.trace_id, self.run.started_at, self.run.ended_at)

    def _links(self) -> dict[str, str]:
        return self.links.tags(self.run.id, self.run.trace_id, self.run.started_at, self.run.ended_at)

    def plan(self, planned: list[dict[str, Any]]) -> None:
        """Keep the plan with the parent run."""
        self._call(lambda: self.client.log_dict(self.parent, redact(planned), "plan.json"))

    def start_node(self, planned: Planned, parameters: Mapping[str, Any]) -> str:
        """A child run for a node that is about to run, with its parameters."""
        tags = self._tags(planned) | ({"mlflow.note.content": note} if (note := self.note()) else {})
        made = self._call(lambda: self.client.create_run(self.experiment, run_name=planned.node.id, tags=tags))
        run_id = str(made.info.run_id)
        self._call(lambda: tracking.log_parameters(self.client, run_id, parameters))
        self.run.put_mlflow_run(planned.node.id, run_id)
        self.run.save()
        return run_id

    def cached_node(self, planned: Planned) -> None:
        """Create a child run that marks the node as cached and links the run that made it."""
        assert planned.record is not None
        made_by = planned.record["mlflow_run"]
        there = self._call(lambda: self._experiment_of(made_by))
        link = f"Taken from the cache. Made by [run {made_by}](#/experiments/{there}/runs/{made_by})."
        tags = self._tags(planned) | {
            "glassformer.cached": "true",
            "glassformer.made_by": made_by,
            "mlflow.note.content": f"{link} {self.note()}".strip(),
            "glassformer.digest": str(planned.digest),
        }
        made = self._call(
            lambda: self.client.create_run(self.experiment, run_name=f"{planned.node.id} (cached)", tags=tags)
        )
        self._call(lambda: self.client.set_terminated(made.info.run_id, "FINISHED"))
        self.run.put_mlflow_run(planned.node.id, made.info.run_id)

    def end_node(self, planned: Planned, answer: Mapping[str, Any], report: Path | None) -> None:
        """Cost, digest and report of a node that ran."""
        run_id = self.run.mlflow_runs[planned.node.id]
        costs = {f"step.{key}": answer[key] for key in ("seconds", "cpu_seconds", "peak_bytes")}
        tags = {"trace_id": answer.get("trace_id", ""), "cached": str(answer["state"] == "reused").lower()}
        if answer.get("artifact"):
            tags["digest"] = answer["artifact"]["digest"]
        self._call(lambda: self._write(run_id, costs, tags))
        if report is not None and report.is_file():
            self._call(lambda: self.client.log_artifact(run_id, str(report)))
            self._call(lambda: self.client.log_artifact(self.parent, str(report)))

    def finish(
        self, results: Mapping[str, Any], scores: Mapping[str, float], version: Mapping[str, Any] | None, note: str
    ) -> None:
        """Log lineage, cost and cache savings, scores, data sets and the registered version on the parent run."""
        self._call(lambda: self.client.log_dict(self.parent, redact(results["lineage"]), "lineage.json"))
        self._call(lambda: self.client.log_dict(self.parent, results["cost"], "cost.json"))
        tags = {"report": results["report"], "version": f"{version['name']}/{version['version']}" if version else ""}
        metrics = results["totals"] | {key_of(name): value for name, value in scores.items()}
        self._call(lambda: self._write(self.parent, metrics, tags))
        self._call(lambda: self.client.log_inputs(self.parent, datasets=_data_sets(results["corpora"])))
        ended = self.links.as_markdown(self.run.id, self.run.trace_id, self.run.started_at, time.time())
        text = redact(f"{note}\n\n{ended}".strip())
        self._call(lambda: self.client.set_tag(self.parent, "mlflow.note.content", text))

    def close(self, state: str) -> None:
        """Give the parent run, and any child run still open, its final state. Never raises: the run is over."""
        try:
            self.run.end(state)
            with tracking.outages_explained():
                _report(self.client, self.run, self.observe)
        except Exception as error:
            self.observe.log(
                "tracking.unreachable",
                f"the next run will report the end of this one to MLflow: {error}",
                level="warning",
            )

    @contextmanager
    def forwarding(self, feed: Path, run_id: str) -> Iterator[None]:
        """Forward the metrics of a running step to MLflow; undelivered metrics stay on disk."""
        courier = Courier(feed, tracking.sender(self.client, run_id), self._warn)
        try:
            yield
        finally:
            with self.observe.span("forward"):
                left = courier.close(_PATIENCE)
            if left:
                self._warn(f"{left} metrics wait in {feed}; the next run sends them")

    def _warn(self, text: str) -> None:
        self.observe.log("tracking.unreachable", text, level="warning")

    def _call(self, call: Callable[[], T]) -> T:
        """Make a call, retrying for a while if the server is unreachable."""
        for pause in _PAUSES:
            try:
                with tracking.outages_explained():
                    return call()
            except TemporaryError as error:
                self._warn(f"{error}; trying again in {pause:.0f} s")
                time.sleep(pause)
        with tracking.outages_explained():
            return call()

    def _experiment_of(self, run_id: str) -> str:
        """The experiment of a run; of one that is deleted for good, this one."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.get_run(run_id).info.experiment_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return self.experiment

    def _write(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Metrics and `glassformer.*` tags of a run, in one call."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        self.client.log_batch(
            run_id,
            metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
            tags=[RunTag(f"glassformer.{key}", value) for key, value in tags.items() if value],
        )

    def _tags(self, planned: Planned) -> dict[str, str]:
        return {
            "mlflow.parentRunId": self.parent,
            "mlflow.source.name": str(CHECKOUT),
            "mlflow.source.type": "PROJECT",
            "mlflow.project.entryPoint": planned.node.step,
            "glassformer.node": planned.node.id,
            "glassformer.step": planned.node.step,
            "glassformer.run": self.run.id,
            "glassformer.fingerprint": str(planned.fingerprint),
            "glassformer.reasons": redact("; ".join(planned.reasons))[:4000],
            **{f"glassformer.{name}": address for name, address in self._links().items()},
        }


def close_abandoned(client: MlflowClient, current: Run, observe: Observe) -> None:
    """Close runs of this home that ended without reporting to MLflow: send their metrics and final state.

    A watched training loop has no runs there, so it is closed whichever store MLflow has.
    """
    for run in all_runs(Path(current.folder).parent.parent):
        if run.reported or run.id == current.id or run.is_alive():
            continue
        if run.mlflow_runs and run.tracking_uri != current.tracking_uri:
            continue
        if run.state == RUNNING:
            observe.log("run.abandoned", f"run {run.id} ({run.pipeline}) was killed, and is marked so", level="warning")
            run.end(KILLED)
            _tell_killed(run)
        _report(client, run, observe)


def _tell_killed(run: Run) -> None:
    """Set the states that dashboards show of a run whose process could not, and of its nodes that were at work."""
    spoken = Observe.open(
        "glassformer", pipeline=run.pipeline, run=run.id, step="pipeline", node="",
        outbox=Path(run.folder).parent.parent / "outbox", usage=False,
    )  # fmt: skip
    spoken.metric("pipeline.state", STATES["killed"], title=run.title)
    begun = run.mlflow_runs.keys() - run.nodes.keys() - {""}
    watched = {node for node, about in run.nodes.items() if about.get("state") == "running"}
    for node in begun | watched:
        spoken.metric("node.state", STATES["killed"], node=node)
    spoken.close()


def _report(client: MlflowClient, run: Run, observe: Observe) -> None:
    """Send the remaining metrics of a run and give each of its MLflow runs a final state."""
    from mlflow.exceptions import MlflowException

    left = 0
    for feed in run.feeds():
        if waiting(feed) and (run_id := run.mlflow_runs.get(feed.name.removesuffix(".metrics.jsonl"))):
            left += Courier(feed, tracking.sender(client, run_id), lambda text: None).close(_PATIENCE)
    for node, run_id in run.mlflow_runs.items():
        try:
            status = client.get_run(run_id).info.status
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue  # deleted meanwhile
        # `mlflow run` writes FAILED when a child ends with a signal's exit code; the signal is what happened.
        interrupted = status == FAILED and run.nodes.get(node, {}).get("state") == "interrupted"
        if status in (RUNNING, "SCHEDULED") or interrupted:
            client.set_terminated(run_id, run.state, int(time.time() * 1000))
    run.reported = left == 0
    run.save()
    if left:
        observe.log("tracking.undelivered", f"{left} metrics of run {run.id} wait in {run.folder}", level="warning")


def _create_parent(client: MlflowClient, pipeline: str) -> str:
    tags = {"mlflow.source.name": str(CHECKOUT), "mlflow.source.type": "PROJECT", "mlflow.project.entryPoint": "main"}
    return str(client.create_run(tracking.experiment(client, pipeline), run_name=pipeline, tags=tags).info.run_id)


def _data_sets(corpora: Mapping[str, Mapping[str, Any]]) -> list[DatasetInput]:
    """Corpora, by digest, as MLflow lists the data of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    context = [InputTag("mlflow.data.context", "training")]
    return [
        DatasetInput(
            Dataset(
                name=str(redact(about["source"]))[:500],
                digest=digest[:36],
                source_type="glassformer",
                source=json.dumps({"corpus": digest}),
                profile=json.dumps({"rows": about["rows"]}),
            ),
            context,
        )
        for digest, about in corpora.items()
    ]
