"""Registry of signals: every log event, span and metric with its unit and meaning.

A name that is not here raises in tests and is dropped with one warning elsewhere; a test finds names that no code uses.
Units are UCUM, as OpenTelemetry wants them: `s`, `By`, `1` for a share of a whole alone (Prometheus names it `..._ratio`),
braces for all else: `{row}` for things counted, `{nat}`, `{token/s}` where the name says the rate already. Prometheus adds a
unit to a name, and nothing for braces: `training.loss` is `glassformer_training_loss` there, `step.seconds`
`glassformer_step_seconds`, the counter `corpus.rows_read` `glassformer_corpus_rows_read_total`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Literal

Kind = Literal["event", "span", "gauge", "counter", "histogram"]


# Labels by which a metric's series can be selected. All other fields go with the exemplar, never into a label:
# a backend keeps a series for each combination of values.
ABOUT_SCORES = frozenset({"metric", "better", "unit"})  # of a score: its metric, `higher` or `lower`, the metric's unit
LABELS = frozenset({"baseline", "length", "model", "node", "reason", "split", "title"}) | ABOUT_SCORES

# Of metrics that OpenTelemetry divides by a state: the one that is recorded.
STATE_LABELS = {
    "system.memory.usage": {"system.memory.state": "used"},
    "system.filesystem.usage": {"system.filesystem.state": "free"},
}

# What `node.state` and `pipeline.state` read; dashboards give them words and colours.
STATES = {"running": 1, "done": 2, "failed": 3, "cached": 4, "killed": 5}


@dataclass(frozen=True)
class Name:
    """The definition of one name."""

    kind: Kind
    unit: str
    meaning: str
    buckets: tuple[float, ...] = ()  # upper edges, of a histogram


def sent_as(metric: str) -> str:
    """A metric's name in backends, which hold those of others too: with our prefix, but where OpenTelemetry has named it. MLflow's
    have none."""
    return metric if metric.startswith("system.") else f"glassformer.{metric}"


def _names(kind: Kind, names: dict[str, str | tuple[str, str]]) -> dict[str, Name]:
    pairs = {name: entry if isinstance(entry, tuple) else ("", entry) for name, entry in names.items()}
    return {name: Name(kind, unit, meaning) for name, (unit, meaning) in pairs.items()}


EVENTS = _names(
    "event",
    {
        "step.started": "a step's process began its work; holds its config",
        "step.finished": "a step made its artifact; holds what it cost",
        "step.waiting": "another process does the same work; this one waits for its lock",
        "span.started": "a pipeline, node or step began: its span can be found before it ends",
        "span.failed": "a pipeline, node or step ended with an error; its message holds the stack trace",
        "run.opened": "a pipeline's run is open in MLflow; holds its address there",
        "node.started": "a pipeline starts a node; holds the reasons",
        "node.cached": "a pipeline takes a node from the cache",
        "artifact.lost": "an artifact in the cache is gone or damaged: its node makes it again",
        "node.failed": "a node failed while others are at work: these end, and no other starts",
        "node.retried": "a node failed for something that can pass and is tried again",
        "run.abandoned": "an earlier run died without an end and was marked KILLED",
        "register.version_gone": "a cached model version is no longer in the registry: it is registered again",
        "tracking.unreachable": "MLflow did not answer; what it should hold waits on disk",
        "tracking.undelivered": "metrics stay on disk until a later run sends them",
        "telemetry.dropped": "records were dropped: the outbox was full or could not be written",
        "profiler.off": "a step has no flame graphs; why: py-spy is not installed, or may not read the process",
        "profiler.full": "a training has more slow intervals than keep their flame graphs: the slowest do",
        "telemetry.capped": "measurements had more different labels than are kept; how many",
        "corpus.written": "a corpus was written; rows by split",
        "corpus.left_out": "rows or labels were left out, or texts cut; how many by each reason, and where the first is",
        "corpus.absent": "rows lack a column that others of their file have; how many and where the first is",
        "tokenizer.trained": "a tokenizer was trained; what it measures on the validation split",
        "tokenizer.fitted": "the size of a vocabulary that was not given, fitted to the corpus",
        "report.written": "a report was written; the score and the baselines",
        "model.registered": "a model version was registered, or found registered",
        "model.promoted": "the gate's decision about a model version",
        "model.rolled_back": "a former champion was put back",
        "alias.reconciled": "an alias was not where the history of decisions has it, and was set right",
        "serving.started": "the server answers; holds where, and which version",
        "serving.waiting": "the server has nothing to serve yet, and waits for it (--wait)",
        "serving.stopped": "the server was asked to end, and has answered all accepted requests",
        "serving.switched": "another version answers from now on",
        "serving.refused": "a version that the alias names must not answer; what was served goes on",
        "serving.registry": "the registry does not answer, or answers again",
        "serving.from_disk": "the registry was away at the start: what answered last is served",
        "serving.worker_died": "a worker process ended while it was needed; another is started",
        "serving.failed": "a request could not be answered, for a fault of the server or the model",
        "serving.request": "a request with its question and answer, with --log-requests",
        "checkpoint.damaged": "a checkpoint is not what was written; the one before it is tried",
        "checkpoint.resumed": "a training goes on from a checkpoint",
        "training.rolled_back": "a loss spiked: a training goes back to a checkpoint and leaves out batches; which",
        "training.overflow": "an update was skipped: its gradient was too large for float16; the loss is scaled down",
        "training.packed": "texts of a training were laid into blocks; how many, and how much padding that saves",
        "training.out_of_memory": "a device's memory ran out: shards are computed in parts from here on; how many",
        "training.fitted": "settings of a training that were left to the data; which, and their values",
        "tokens.written": "the examples of a split were encoded into token files; how many, and where",
        "tokens.waiting": "another process encodes the same split; this one waits for its token files",
        "tokens.damaged": "token files are not what was written; they are made again",
        "rows.cut": "rows of a split lost tokens, being longer than the network reads; how many",
        "weights.taken": "heads that were taken over with a network from elsewhere",
        "record.damaged": "the record of which rows an update trained on has a hole; training goes on",
    },
)

SPANS = _names(
    "span",
    {
        "pipeline": "one run of a pipeline, from the start of its process",
        "start": "start a pipeline's process and load its modules",
        "open": "open what the work is on: a run in MLflow, a source with the index of its rows",
        "plan": "compare each node with the cache",
        "node": "one node of it: its step's process, from start to end",
        "pause": "wait before a node is tried again",
        "launch": "start a step's process, through MLflow, and load its first modules",
        "step": "a step's work within its process",
        "wait": "wait for another process that does the same work",
        "import": "load the modules of a step, and what it computes with",
        "exit": "end a step's process: its last records are written, its memory is freed",
        "forward": "bring the last metrics of a step to MLflow",
        "finish": "keep the results of a pipeline with its run in MLflow",
        "commit": "hash, fsync, verify and rename an artifact",
        "read": "read the source",
        "deduplicate": "find exact and near duplicates",
        "split": "write the splits",
        "check": "look for duplicates across the written splits",
        "train": "train: a tokenizer, or a network",
        "measure": "measure a tokenizer on the validation split",
        "tokenize": "turn text into token ids",
        "build": "make a network and its optimizer",
        "interval": "the updates between two readings of a training; holds the first and the last",
        "validate": "one evaluation on the validation split",
        "checkpoint": "write a checkpoint, or what is kept beside it",
        "predict": "answer the questions of a split",
        "compile": "compile a network for shapes that came for the first time",
        "parity": "compare the logits of the framework that trained with those of PyTorch",
        "baselines": "train the baselines and let them answer",
        "bootstrap": "resample rows for the intervals",
        "page": "draw the report, or the evidence of a decision",
        "log_model": "log the model and its version to MLflow",
        "load": "load models, and the rows that they are asked about",
        "compare": "one check of the gate",
        "serve": "a server, from its start to its end: what it logs belongs to it",
        "request": "one request to a served model; linked to the trace that made the model",
    },
)

METRICS = {
    **_names("gauge", {
        "step.seconds": ("s", "wall time of a step"),
        "step.cpu_seconds": ("s", "CPU time of a step and its children"),
        "step.peak_bytes": ("By", "largest resident memory of a step's processes"),
        "corpus.rows": ("{row}", "rows of a split"),
        "tokenizer.fertility": ("{token}/{word}", "tokens for each word of the validation split"),
        "tokenizer.bytes_per_token": ("By/{token}", "bytes of text for each token"),
        "tokenizer.unknown_share": ("1", "share of tokens that are unknown"),
        "tokenizer.round_trip_share": ("1", "share of texts that come back exactly"),
        "training.loss": ("{nat}", "mean training loss since the last reading, in nats"),
        "training.learning_rate": ("{rate}", "learning rate of the update"),
        "training.gradient_norm": ("{norm}", "mean norm of the gradient before clipping"),
        "training.tokens_per_second": ("{token/s}", "tokens trained on a second, padding left out"),
        "training.updates_per_second": ("{update/s}", "optimizer updates a second"),
        "training.updates": ("{update}", "updates done so far, at each reading: an axis of curves"),
        "training.tokens": ("{token}", "tokens trained on so far, padding left out: an axis of curves"),
        "training.seconds": ("s", "time since this process began its first update: an axis of curves"),
        "training.lowest_update_loss": ("{nat}", "lowest loss of an update since metrics were last written, in nats"),
        "training.highest_update_loss": ("{nat}", "highest loss of an update since metrics were last written, in nats"),
        "training.compile_seconds": ("s", "time that the framework has spent on compiling the network for the shapes of its batches"),
        "training.padding_share": ("1", "share of the computed tokens that are padding"),
        "training.not_finite": ("{update}", "1 when a loss or gradient was not finite, which ends the training"),
        "report.score": ("{score}", "primary metric of the evaluated model; labels name the metric, its direction and unit"),
        "report.baseline_score": ("{score}", "primary metric of a baseline on the same rows"),
        "training.max_updates": ("{update}", "updates of a training for which the amount of data chose them"),
        "training.dropout": ("1", "dropout of a training for which the amount of data chose it"),
        "validation.loss": ("{nat}", "mean loss on the validation split, in nats"),
        "validation.best_loss": ("{nat}", "the lowest validation loss so far, in nats"),
        "validation.score": ("{score}", "the task's primary metric on the validation split, where it chooses the weights"),
        "validation.best_score": ("{score}", "the same of the best weights so far"),
        "corpus.rows_by_length": ("{row}", "rows by their length in characters"),
        "gate.decision": ("{decision}", "what the gate said last: 1 promoted, 0 refused, 2 undecided, 3 promoted against it"),
        "node.state": ("{state}", "where a node of the pipeline is: 1 running, 2 done, 3 failed, 4 cached, 5 killed"),
        "pipeline.state": ("{state}", "where the run of a pipeline, or of a step by hand, is: 1 running, 2 done, 3 failed, 5 killed"),
        "step.progress": ("{item}", "items done so far: rows, updates; stands still when a step is stuck"),
        "process.resident_bytes": ("By", "resident memory of the process"),
        "gpu.used_bytes": ("By", "memory of the process's first GPU that is used, by whomever"),
        "gpu.total_bytes": ("By", "memory of that GPU"),
        "gpu.utilization": ("1", "share of the time in which that GPU computed something"),
        "gpu.power": ("W", "power that that GPU draws"),
        "process.cpu_cores": ("{cpu}", "CPU seconds a second that the process used since the last reading"),
        "system.cpu.utilization": ("1", "share of the machine's CPU time that was used since the last reading, by whomever"),
        "system.cpu.logical.count": ("{cpu}", "logical CPUs of the machine"),
        "system.cpu.load_average.1m": ("{thread}", "threads of the machine that ran or waited to run, over a minute"),
        "system.memory.usage": ("By", "memory of the machine that is used, by whomever: all but what is available"),
        "system.memory.limit": ("By", "memory of the machine"),
        "system.filesystem.usage": ("By", "free on the disk that holds the home"),
        "system.filesystem.limit": ("By", "size of that disk"),
    }),
    **_names("counter", {
        "pipeline.cache_hits": ("{node}", "nodes taken from the cache"),
        "pipeline.cache_misses": ("{node}", "nodes that ran"),
        "pipeline.saved_seconds": ("s", "what the nodes taken from the cache took when they ran"),
        "process.read_bytes": ("By", "bytes the process read from disk"),
        "process.written_bytes": ("By", "bytes the process wrote to disk"),
        "corpus.rows_read": ("{row}", "rows that the source gave"),
        "corpus.rows_divided": ("{row}", "rows beyond the first that long texts became"),
        "corpus.quarantined": ("{row}", "rows left out because they are damaged, by reason"),
        "corpus.rows_out": ("{row}", "rows left out, by reason"),
        "corpus.labels_out": ("{label}", "labels that rows lost, by reason"),
        "telemetry.dropped": ("{record}", "records that the outbox could not take, or dropped at its bound"),
        "telemetry.capped": ("{measurement}", "measurements whose labels were beyond the bound and read `other`"),
        "training.roll_backs": ("{roll-back}", "times that a training with `spike` went back after a loss spike"),
        "corpus.duplicates": ("{row}", "rows dropped because an earlier one says the same"),
    }),
    "training.update_loss": Name("histogram", "{nat}", "loss of each update, in nats; exemplars name the update", (
        0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 15,
    )),
    "training.update_seconds": Name("histogram", "s", "time of each update", (
        0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30,
    )),
}  # fmt: skip


_ALL = {"event": EVENTS, "span": SPANS} | dict.fromkeys(("gauge", "counter", "histogram"), METRICS)
_told: set[str] = set()


def is_known(name: str, kind: Kind) -> bool:
    """Whether a name is listed under this kind. An unknown name raises in tests and is reported once otherwise."""
    entry = _ALL[kind].get(name)
    if entry is not None and entry.kind == kind:
        return True
    message = f"telemetry name {name!r} is not a name of {kind} kind in telemetry/names.py; it is left out"
    if "PYTEST_CURRENT_TEST" in os.environ or os.environ.get("GLASSFORMER_STRICT_TELEMETRY") == "1":
        raise ValueError(message)
    if name not in _told:
        _told.add(name)
        print(message, file=sys.stderr)
    return False
