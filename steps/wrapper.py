"""The one wrapper around every step: parse, open run and span, fetch inputs, run, verify, log.

Exit codes: 0 done; 1 a clear error; 2 a wrong configuration; 75 an error that can pass; 130 and 143 after SIGINT and
SIGTERM, with what could be saved saved.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from artifacts import Artifact, ArtifactError, Output, atomic, open_artifact
from artifacts.errors import EXIT_ERROR, EXIT_TEMPORARY, TemporaryError, UserError
from artifacts.file_hashes import FileHashes
from artifacts.home import enter_calling_folder
from artifacts.store import Store
from command_line import leave
from redaction import hide_in_tracebacks, redact
from steps import attempts, command_line, handoff, process, ranks, run_state
from steps.contract import StepConfig
from steps.step import Run, Step, load_step
from telemetry import Interrupted, Observe, clock
from telemetry.links import Links
from telemetry.shipper import Shipping


def main(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a step as a program, and exit."""
    code = 0
    try:
        run_step(load_step(name), arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
    leave(code)


def run_step(step: Step, arguments: Sequence[str] | None = None) -> None:
    """Run a step with the arguments of its command line (default: this process's), and exit."""
    hide_in_tracebacks()
    enter_calling_folder()
    job = None
    try:
        config = command_line.parse(
            step.name, step.purpose, step.Config, sys.argv[1:] if arguments is None else arguments
        )
        if ranks.is_follower():
            ranks.follow(step, config)
            return
        job = Job(step, config)
        job.execute()
    except BaseException as error:
        code, message = _explain_error(error)
        if message:
            print(f"{step.name}: {redact(message)}", file=sys.stderr, flush=True)
        if job:
            # On a full disk the answer cannot be written either; the driver then says that there is none.
            with suppress(OSError):
                job.answer(
                    {"state": "interrupted" if code > 128 else "failed", "exit_code": code, "error": redact(message)}
                )
        if code == 0 or message:
            sys.exit(code)
        raise


class Job:
    """One execution of a step, in a pipeline or by hand."""

    def __init__(self, step: Step, config: StepConfig) -> None:
        self.step, self.config = step, config
        self.meter = process.Meter()
        self.store = Store.default()
        self.task = handoff.read_task()
        self.run_id = self.task.run if self.task else os.environ.get("MLFLOW_RUN_ID") or uuid.uuid4().hex
        process.wait_so()
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            # Read when the libraries are loaded, which is after this. Sums depend on the number of threads: where a result is to be
            # the same on any machine, one thread computes a sum, and other cores other sums.
            os.environ[name] = str(getattr(config, "threads", 1))

    def execute(self) -> None:
        """Do the step's work inside its run, its span and its lock."""
        node = self.task.node if self.task else self.step.name
        feed = self.task.feed_file if self.task else self.store.root / "runs" / self.run_id / f"{node}.metrics.jsonl"
        if self.task:
            process.end_with_parent()
        with ExitStack() as stack:
            if not self.task and (shipping := Shipping.start(self.store.root / "outbox")):
                stack.callback(shipping.close)
            observe = Observe.open(
                "glassformer",
                pipeline=self.task.pipeline if self.task else "",
                run=self.run_id,
                step=self.step.name,
                node=node,
                outbox=self.store.root / "outbox",
                feed=feed,
                log_file=self.store.root / "logs" / self.run_id / f"{node}.jsonl",
            )
            stack.callback(observe.close)
            observe.profile()
            observe.install_signal_handlers()
            if self.task:
                observe.past("launch", self.task.launched_ns)
            else:
                from steps import tracking

                stack.enter_context(run_state.report_state(observe, node))
                links = Links.of(self.store.root / "outbox")
                stack.enter_context(
                    tracking.by_hand(self.step.name, self.config.model_dump(mode="json"), feed, links, observe)
                )
            with observe.span("step", **{"cicd.pipeline.task.name": node}):
                self._work(observe)

    def answer(self, answer: dict[str, Any]) -> None:
        """Tell the driver how it ended."""
        if self.task:
            atomic.write_json(self.task.answer_file, {**self.meter.read(), **answer, "answered_ns": clock.now_ns()})

    def _work(self, observe: Observe) -> None:
        inputs = {name: open_artifact(path, kind) for name, (path, kind) in self.config.given_inputs().items()}
        key = self._key(inputs)
        made: Artifact | None
        observe.log("step.started", f"{self.step.name} started", **self._shown_config())
        waiting = ExitStack()

        def wait() -> None:
            observe.log("step.waiting", "another run is computing this result; waiting for it")
            waiting.enter_context(observe.span("wait"))

        with waiting, self.store.lock(key, wait):
            waiting.close()
            if earlier := self._made_already():
                made, state = earlier, "reused"
            elif self.step.output is None:
                self._work_of_step(observe)(self.config, inputs, None, observe)
                made, state = None, "made"
            else:
                made, state = self._make(key, inputs, observe), "made"
        cost = self.meter.record(observe)
        what = f"{state} {made.kind} {made.digest[:12]}" if made else "is done"
        observe.log("step.finished", f"{self.step.name} {what} in {cost['seconds']:.1f} s", state=state, cost=cost)
        artifact = {"path": self.store.path_of(made), "digest": made.digest, "kind": made.kind} if made else None
        self.answer({"state": state, "artifact": artifact, "exit_code": 0, "trace_id": observe.trace_id})
        if made and not self.task:
            print(made.path)

    def _made_already(self) -> Artifact | None:
        """Artifact of another run of this very work; None if there is none, it is damaged, or this run is forced."""
        if (
            not self.task
            or self.task.forced
            or not (record := self.store.record(self.step.name, self.task.fingerprint))
        ):
            return None
        try:
            return self.store.artifact(record, check=True)
        except ArtifactError:
            return None  # the driver has reported it

    def _make(self, key: str, inputs: Mapping[str, Artifact], observe: Observe) -> Artifact:
        assert self.step.output is not None
        output = Output(
            self.step.output, self.store.work(key), step=self.step.name, parents=dict(inputs), root=self.store.root
        )
        earlier = attempts.begin(output.work)
        with ranks.share(self.step, self.config):
            self._work_of_step(observe)(self.config, inputs, output, observe)
        cost = self.meter.read()
        cost["seconds"] = round(cost["seconds"] + earlier, 3)
        atomic.write_json(output.sidecar("cost.json"), cost)
        atomic.write_json(
            output.sidecar("made_by.json"),
            {
                "run": self.run_id,
                "mlflow_run": os.environ.get("MLFLOW_RUN_ID", ""),
                "trace_id": observe.trace_id,
                "config": redact(self.config.model_dump(mode="json")),
            },
        )
        self._check_unchanged()
        with observe.phase("commit"):
            artifact = output.commit()
        if self.task:
            self.store.keep(self._record(artifact, cost, observe))
        self.store.forget_work(key)
        return artifact

    def _work_of_step(self, observe: Observe) -> Run:
        with observe.phase("import"):
            return self.step.run

    def _check_unchanged(self) -> None:
        """UserError if a file of the user's was changed while it was read: the record would be of other content."""
        if not self.task:
            return
        hashes, planned = FileHashes.of(self.store.root), self.task.parts.get("files", {})
        for path in self.step.files(self.config):
            if (known := planned.get(str(path))) and hashes.sha256(path) != known:
                raise UserError(f"{path}: changed while it was read; run again")

    def _record(self, artifact: Artifact, cost: Mapping[str, float], observe: Observe) -> dict[str, Any]:
        assert self.task is not None
        return {
            "fingerprint": self.task.fingerprint, "step": self.step.name, "node": self.task.node,
            "pipeline": self.task.pipeline, "run": self.task.run, "parts": redact(self.task.parts),
            "artifact": {"path": self.store.path_of(artifact), "digest": artifact.digest, "kind": artifact.kind},
            "mlflow_run": os.environ.get("MLFLOW_RUN_ID", ""), "trace_id": observe.trace_id,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **cost,
        }  # fmt: skip

    def _key(self, inputs: Mapping[str, Artifact]) -> str:
        """Key under which a rerun of this very work finds its saved state."""
        if self.task:
            return self.task.fingerprint
        return atomic.digest_of(
            [self.step.name, self.config.result_parameters(), {name: made.digest for name, made in inputs.items()}]
        )

    def _shown_config(self) -> dict[str, Any]:
        return {"config": redact(self.config.model_dump(mode="json"))}


def _explain_error(error: BaseException) -> tuple[int, str]:
    """Exit code and the one line for the user; an empty line means: a fault of ours, show the traceback."""
    if isinstance(error, SystemExit):
        return (error.code if isinstance(error.code, int) else 1), ""
    if isinstance(error, Interrupted):
        return 128 + error.signal_number, "ended by a signal; run again to resume"
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted; run again to resume"
    if isinstance(error, UserError):
        return error.exit_code, str(error)
    if isinstance(error, TemporaryError):
        return EXIT_TEMPORARY, str(error)
    if isinstance(error, ArtifactError):
        return EXIT_ERROR, str(error)
    if full := _about_the_disk(error):
        return 1, full
    return 1, ""


def _about_the_disk(error: BaseException) -> str:
    """Message for a disk that is full or cannot be written; libraries wrap the system's error in their own."""
    code, text = getattr(error, "errno", None), str(error)
    where = getattr(error, "filename", None) or Store.default().root
    if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        return f"{where}: no space left on the disk; free some and run again, what is finished is kept"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR) or "Read-only file system" in text:
        return f"{where}: cannot be written ({text}); set GLASSFORMER_HOME to a folder that can"
    return ""
