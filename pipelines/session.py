"""The life of a run: open it, drive it, close it however it ends, and summarise it."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from artifacts import ArtifactError
from artifacts.errors import EXIT_TEMPORARY, TemporaryError, UserError
from artifacts.runs import FAILED, FINISHED, KILLED, Run
from artifacts.store import Store
from pipelines import launch, summary
from pipelines.graph import Node, Pipeline
from pipelines.jobs import Workers
from pipelines.mlflow_run import MlflowRun
from pipelines.node_run import NodeRunner, StepError
from pipelines.plan import Planner
from pipelines.run import Driver
from redaction import hide_in_tracebacks, redact
from steps import tracking
from telemetry import Interrupted, Observe, clock
from telemetry.names import STATES
from telemetry.shipper import Shipping

_REPORTED = {FINISHED: STATES["done"], FAILED: STATES["failed"], KILLED: STATES["killed"]}


@dataclass(frozen=True)
class RunOptions:
    """The user's options for a run."""

    start: str = ""  # --from
    stop: str = ""  # --to
    force: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    promote: bool = False
    jobs: int = 1  # nodes side by side, at most

    def check(self, pipeline: Pipeline) -> None:
        """UserError for a name that is no node."""
        pipeline.check_known([name for name in [self.start] if name], "--from")
        pipeline.check_known([name for name in [self.stop] if name], "--to")
        pipeline.check_known(self.force, "--force")

    def nodes(self, pipeline: Pipeline) -> tuple[list[Node], set[str]]:
        """The nodes to run, and of these the ones that must be in the cache because `--from` starts after them."""
        wanted = pipeline.before(self.stop) if self.stop else set(pipeline.nodes)
        taken = set[str]()
        if self.start:
            following = pipeline.after(self.start) & wanted
            wanted = set().union(*(pipeline.before(node) for node in following)) if following else set()
            taken = wanted - following
        if not wanted:
            raise UserError(f"--from {self.start} --to {self.stop}: nothing lies between them", 2)
        return [node for node in pipeline.nodes.values() if node.id in wanted], taken


def run(pipeline: Pipeline, options: RunOptions) -> int:
    """Run one pipeline and print how it went. Returns the exit code."""
    options.check(pipeline)
    hide_in_tracebacks()
    tracking.prepare_environment()
    store = Store.default()
    launch.tie_lives_together()
    observe, shipping, state, code = None, None, FAILED, 1
    mlflow_run: MlflowRun | None = None
    try:
        nodes, taken = options.nodes(pipeline)
        this = Run.start(store.root, _run_id(), pipeline.name, os.environ.get("MLFLOW_TRACKING_URI", ""))
        observe = Observe.open(
            "glassformer", pipeline=pipeline.name, run=this.id, step="pipeline", node="", outbox=store.root / "outbox",
            feed=None, log_file=store.root / "logs" / this.id / "pipeline.jsonl",
        )  # fmt: skip
        shipping = Shipping.start(store.root / "outbox")
        observe.install_signal_handlers()
        observe.metric("pipeline.state", STATES["running"], title=this.title)
        about, began = {"cicd.pipeline.name": pipeline.name, "cicd.pipeline.run.id": this.id}, clock.process_began_ns()
        with observe.span_since("pipeline", began, about):
            this.trace_id = observe.trace_id
            observe.past("start", began)
            with observe.span("open"):
                mlflow_run = MlflowRun.open(this, observe, _parameters(pipeline, options))
            observe.annotate(**{"cicd.pipeline.run.url.full": mlflow_run.address()})
            planner = Planner(pipeline, store, options.force)
            workers = Workers(options.jobs)
            runner = NodeRunner(store.root, workers, this, observe, mlflow_run, planner.force)
            driver = Driver(pipeline, store, workers, this, observe, mlflow_run, planner, runner, nodes, taken)
            with launch.starting_steps():
                driver.execute()
                if options.promote:
                    driver.promote()
            results = driver.results() | {"report": summary.report_path(driver)}
            with observe.span("finish"):
                mlflow_run.finish(
                    results, summary.scores(driver), summary.model_version(driver), summary.as_markdown(driver)
                )
            state, code = FINISHED, 0
        summary.show(driver, results)
    except BaseException as error:
        if observe:
            observe.signal_heard()
        state, code, message = _explain(error, pipeline.name)
        if not message:
            raise
        print(redact(message), file=sys.stderr, flush=True)
    finally:
        if mlflow_run:
            mlflow_run.close(state)
        elif observe:
            with suppress(OSError):  # already reported, if the disk is full
                this.end(state)
        if observe:
            observe.metric("pipeline.state", _REPORTED[state], title=this.title)
            observe.close()
        if shipping:
            shipping.close()
    return code


def _parameters(pipeline: Pipeline, options: RunOptions) -> Mapping[str, str]:
    if "MLFLOW_RUN_ID" in os.environ:
        return {}  # `mlflow run` has logged them
    parameters = {
        "pipeline": pipeline.name,
        "from_node": options.start,
        "to_node": options.stop,
        "force": ",".join(options.force),
        "set": " ".join(options.settings),
        **{f"each.{key}": str(value) for key, value in pipeline.variant.items()},
    }
    return {name: value for name, value in parameters.items() if value}


def _run_id() -> str:
    return uuid.uuid4().hex


def _explain(error: BaseException, pipeline: str) -> tuple[str, int, str]:
    """Final state, exit code and the line for the user; an empty line means a fault of ours."""
    if isinstance(error, Interrupted):
        return KILLED, 128 + error.signal_number, f"{pipeline}: ended by a signal; the same command goes on from here"
    if isinstance(error, StepError):
        state = KILLED if error.exit_code > 128 else FAILED
        return (
            state,
            error.exit_code,
            f"{pipeline}: node {error.node} failed: {error}; earlier results are in the cache",
        )
    if isinstance(error, UserError):
        return FAILED, error.exit_code, f"{pipeline}: {error}"
    if isinstance(error, TemporaryError):
        return FAILED, EXIT_TEMPORARY, f"{pipeline}: {error}"
    if isinstance(error, ArtifactError):
        return FAILED, 1, f"{pipeline}: {error}"
    if isinstance(error, OSError):
        where = error.filename or Store.default().root
        return FAILED, 1, f"{pipeline}: {where}: {error.strerror or error}; free or repair it and run again"
    return FAILED, 1, ""
