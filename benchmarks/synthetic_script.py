"""The script of a synthetic run of `docs`: every span and metric of telemetry/names.py, from the process and at the time of a real run.

Times are those of a run of a quarter of an hour on two cores; values are made up, of the right size.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from telemetry import Observe
from telemetry.names import STATES
from telemetry.progress import Progress

Outcome = Literal["done", "cached", "failed"]
CACHED = ("prepare_data", "train_tokenizer", "pretrain")  # nodes that a run of outcome `cached` takes from the cache
_ABOUT_SCORES = {"metric": "macro_f1", "better": "higher", "unit": "1"}
FAILS = "finetune_scratch"  # the node at which a run of outcome `failed` ends
UPDATE_SECONDS = 0.08
TITLE = "a synthetic run of docs"
NODES = {
    "prepare_data": "prepare_data", "train_tokenizer": "train_tokenizer", "pretrain": "pretrain", "finetune": "finetune",
    "finetune_scratch": "finetune", "evaluate": "evaluate", "register": "register", "promote": "promote",
}  # fmt: skip


class Stage(Protocol):
    """A stage for a run, on which time passes on demand."""

    def process(self, step: str, node: str, parent: Observe | None = None) -> AbstractContextManager[Observe]: ...
    def forward(self, seconds: float) -> None: ...


class NotFiniteError(Exception):
    """The failed run's error."""


def play(stage: Stage, outcome: Outcome, updates: int) -> None:
    """One run, from its driver's start to its end."""
    with stage.process("pipeline", "") as driver:
        driver.metric("pipeline.state", STATES["running"], title=TITLE)
        state = "done"
        with contextlib.suppress(NotFiniteError), driver.span("pipeline", **{"cicd.pipeline.name": "docs"}):
            for part, seconds in (("start", 0.6), ("open", 2), ("plan", 0.5)):
                with _phase(stage, driver, part, seconds):
                    pass
            try:
                for node, step in NODES.items():
                    if outcome == "cached" and node in CACHED:
                        _take(stage, driver, node)
                    else:
                        _make(stage, driver, node, step, updates, fails=outcome == "failed" and node == FAILS)
            except NotFiniteError:
                state = "failed"
                raise
            with _phase(stage, driver, "finish", 0.2):
                pass
        driver.metric("pipeline.state", STATES[state], title=TITLE)
        stage.forward(0.1)


def _take(stage: Stage, driver: Observe, node: str) -> None:
    driver.log("node.cached", f"{node}: from the cache, artifact 0123456789ab", node=node)
    driver.count("pipeline.cache_hits", 1, node=node)
    driver.count("pipeline.saved_seconds", 120, node=node)
    driver.metric("node.state", STATES["cached"], node=node)
    stage.forward(0.3)


def _make(stage: Stage, driver: Observe, node: str, step: str, updates: int, *, fails: bool) -> None:
    driver.log("node.started", f"{node}: never run before ({step})", node=node)
    driver.count("pipeline.cache_misses", 1, node=node)
    driver.metric("node.state", STATES["running"], node=node)
    with driver.span("node", node=node, step=step):
        with _phase(stage, driver, "launch", 1.5):
            pass
        try:
            for attempt in range(2 if step == "register" else 1):  # the tracking server was away: it is tried again
                _process(stage, driver, node, step, updates, fails=fails, retried=attempt == 0 and step == "register")
        except NotFiniteError:
            driver.metric("node.state", STATES["failed"], node=node)
            raise
        with _phase(stage, driver, "exit", 0.1), _phase(stage, driver, "forward", 0.1):
            pass
    driver.metric("node.state", STATES["done"], node=node)


def _process(stage: Stage, driver: Observe, node: str, step: str, updates: int, *, fails: bool, retried: bool) -> None:
    with stage.process(step, node, driver) as observe, observe.span("step", **{"cicd.pipeline.task.name": node}):
        observe.log("step.started", f"{step} started", config={"seed": 1, "threads": 2, "max_updates": updates})
        if retried:
            driver.log("node.retried", f"{node}: no answer; trying again in 2 s", level="warning", node=node)
            driver.log("tracking.unreachable", "MLflow does not answer; trying again", level="warning")
            with _phase(stage, driver, "pause", 2):
                return
        with _phase(stage, observe, "import", 1), _phase(stage, observe, "wait", 1):
            pass
        if step in ("pretrain", "finetune"):
            _train(stage, observe, updates if step == "pretrain" else updates // 4, fails=fails)
        else:
            _STEPS[step](stage, observe)
        with observe.phase("commit"):
            stage.forward(0.5)
        observe.metric("step.seconds", 60)
        observe.metric("step.cpu_seconds", 100)
        observe.metric("step.peak_bytes", 1e9)
        observe.log("step.finished", f"{step} made artifact 0123456789ab in 60.0 s", state="made", cost={"seconds": 60})


@contextlib.contextmanager
def _phase(stage: Stage, observe: Observe, name: str, seconds: float) -> Iterator[None]:
    with observe.phase(name):
        yield
        stage.forward(seconds)


def _prepare(stage: Stage, observe: Observe) -> None:
    with observe.progress("prepare_data", 60_000, "rows") as progress, observe.phase("read"):
        for _ in range(30):
            progress.update(2_000)
            stage.forward(1)
    observe.count("corpus.rows_read", 60_000)
    with _phase(stage, observe, "deduplicate", 20):
        for reason, count in (("exact", 3_000), ("near", 2_000)):
            observe.count("corpus.duplicates", count, reason=reason)
    with _phase(stage, observe, "split", 3), _phase(stage, observe, "check", 3):
        for reason in ("not text", "too long"):
            observe.count("corpus.quarantined", 7, reason=reason)
            observe.count("corpus.rows_out", 7, reason=reason)
            observe.count("corpus.labels_out", 7, reason=reason)
    observe.log(
        "corpus.left_out",
        "14 of 60,000 rows left out: 7 not text (first row 12), 7 too long (first row 90)",
        level="warning",
    )
    observe.count("corpus.rows_divided", 500)
    for split, rows in (("train", 50_000), ("validation", 2_500), ("test", 2_500)):
        observe.metric("corpus.rows", rows, split=split)
    for length in ("0-99", "100-299", "300-999", "1000-2999", "3000-"):
        observe.metric("corpus.rows_by_length", 11_000, length=length)
    observe.log("corpus.written", "55000 rows: train 50000, validation 2500, test 2500")


def _tokenizer(stage: Stage, observe: Observe) -> None:
    with _phase(stage, observe, "train", 20):
        pass
    with _phase(stage, observe, "measure", 3):
        observe.metric("tokenizer.fertility", 1.6)
        observe.metric("tokenizer.bytes_per_token", 4.1)
        observe.metric("tokenizer.unknown_share", 0.0)
        observe.metric("tokenizer.round_trip_share", 1.0)
    observe.log("tokenizer.trained", "8192 pieces, 1.6 tokens a word")


def _train(stage: Stage, observe: Observe, updates: int, *, fails: bool) -> None:
    with _phase(stage, observe, "tokenize", 8):
        observe.metric("training.max_updates", updates)
        observe.metric("training.dropout", 0.1)
    with _phase(stage, observe, "build", 1):
        pass
    with observe.phase("train"), observe.progress("train", updates, "updates") as progress:
        for first in range(1, updates + 1, 50):
            last = min(first + 49, updates)
            loss = _interval(stage, observe, progress, first, last, updates)
            if last % 1000 == 0 or last == updates:
                _validate(stage, observe, last, loss)
            if last % 250 == 0 or last == updates:
                with _phase(stage, observe, "checkpoint", 0.2):
                    pass
            if fails and last >= updates // 2:
                observe.metric("training.not_finite", 1, update=last)
                observe.count("telemetry.dropped", 3)
                observe.count("telemetry.capped", 2)
                raise NotFiniteError(f"not finite at update {last}: loss nan")


def _interval(stage: Stage, observe: Observe, progress: Progress, first: int, last: int, updates: int) -> float:
    """The updates between two readings of the loss; the last one's loss."""
    with observe.span("interval", first_update=first, last_update=last):
        for update in range(first, last + 1):
            stage.forward(UPDATE_SECONDS)
            loss = 3 + 6 * math.exp(-4 * update / updates) + 0.3 * math.sin(update)
            observe.measure("training.update_loss", loss, update=update)
            observe.measure("training.update_seconds", UPDATE_SECONDS * (1 + 0.2 * math.sin(2 * update)), update=update)
            progress.update(1)
        _train_line(observe, last, loss)
    return loss


def _train_line(observe: Observe, update: int, loss: float) -> None:
    observe.metric("training.loss", loss, update=update)
    observe.metric("training.learning_rate", 1e-3, update=update)
    observe.metric("training.gradient_norm", 0.5, update=update)
    observe.metric("training.tokens_per_second", 11_000 + update % 700, update=update)
    observe.metric("training.updates_per_second", 1 / UPDATE_SECONDS, update=update)
    observe.metric("training.updates", update, update=update)
    observe.metric("training.tokens", 900 * update, update=update)
    observe.metric("training.seconds", UPDATE_SECONDS * update, update=update)
    observe.metric("training.padding_share", 0.06, update=update)
    observe.metric("training.compile_seconds", 12.0, update=update)
    observe.metric("training.not_finite", 0, update=update)
    observe.count("training.roll_backs", update % 2000 == 0)
    observe.metric("gpu.used_bytes", 4e9)
    observe.metric("gpu.total_bytes", 24e9)
    observe.metric("gpu.utilization", 0.9)
    observe.metric("gpu.power", 250)


def _validate(stage: Stage, observe: Observe, update: int, loss: float) -> None:
    with _phase(stage, observe, "compile", 1), _phase(stage, observe, "validate", 2):
        observe.metric("validation.loss", loss, update=update)
        observe.metric("validation.best_loss", loss, update=update)
        observe.metric("validation.score", 1 - loss / 10, update=update)
        observe.metric("validation.best_score", 1 - loss / 10, update=update)


def _evaluate(stage: Stage, observe: Observe) -> None:
    with _phase(stage, observe, "predict", 8), _phase(stage, observe, "baselines", 20):
        pass
    with _phase(stage, observe, "parity", 1), _phase(stage, observe, "bootstrap", 5):
        observe.metric("report.score", 0.71, **_ABOUT_SCORES)
    for baseline in ("majority", "naive_bayes", "logistic_regression", "scratch"):
        observe.metric("report.baseline_score", 0.6, baseline=baseline, **_ABOUT_SCORES)
    with _phase(stage, observe, "page", 2):
        observe.log("report.written", "accuracy 0.710 (baselines: logistic_regression 0.600)")


def _register(stage: Stage, observe: Observe) -> None:
    with _phase(stage, observe, "log_model", 6):
        pass
    observe.log("model.registered", "glassformer-docs version 3 has alias challenger", version=3)


def _promote(stage: Stage, observe: Observe) -> None:
    with _phase(stage, observe, "load", 6), _phase(stage, observe, "bootstrap", 4):
        pass
    for _ in range(12):
        with _phase(stage, observe, "compare", 1):
            pass
    observe.metric("gate.decision", 1.0, model="glassformer-docs")
    observe.log("model.promoted", "glassformer-docs version 3: better by 0.01", promoted=True)


_STEPS: dict[str, Callable[[Stage, Observe], None]] = {
    "prepare_data": _prepare,
    "train_tokenizer": _tokenizer,
    "evaluate": _evaluate,
    "register": _register,
    "promote": _promote,
}
