"""The dashboards, the outbox and the record of rows for a training loop that is not ours."""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from artifacts import atomic
from artifacts.runs import FAILED, FINISHED, KILLED, Run
from artifacts.store import Store
from redaction import redact
from steps.process import Meter
from steps.run_state import report_state
from telemetry import Observe
from telemetry.shipper import Shipping
from telemetry.spans import result_of
from training.throughput import Throughput
from training.update_log import LINES, Entry, UpdateLog

NODE = "pretrain"  # what the boards take for a training
_STATES = {"success": FINISHED, "failure": FAILED, "cancellation": KILLED}


class Watched:
    """A training that is under way. Its methods cost a fraction of a millisecond, and never raise for a backend's sake."""

    def __init__(self, run: Run, observe: Observe, record: UpdateLog, every: int) -> None:
        """`every`: updates between two readings."""
        self.run = run.id
        self._observe, self._record, self._every = observe, record, every
        self._progress = observe.progress(NODE, None, "updates", shown=False)
        self._throughput, self._began = Throughput(), time.monotonic()
        self._updates, self._tokens, self._best = 0, 0, math.inf
        self._rate: float | None = None
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._interval: AbstractContextManager[None] | None = None

    def update(
        self, loss: float, *, tokens: int = 0, gradient_norm: float | None = None, learning_rate: float | None = None,
        rows: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Tell of an update that is done: its mean loss in nats, the tokens that it was computed from (padding left out), and the ids of
        its rows, by which `glassformer why` finds what caused a spike."""
        if self._interval is None:
            self._interval = self._observe.span("interval", first_update=self._updates + 1)
            self._interval.__enter__()
        now = time.monotonic()
        seconds, self._began = now - self._began, now
        self._updates, self._tokens = self._updates + 1, self._tokens + tokens
        self._progress.update()
        self._throughput.add(tokens)
        self._observe.measure("training.update_loss", loss, update=self._updates)
        self._observe.measure("training.update_seconds", seconds, update=self._updates)
        norm = math.nan if gradient_norm is None else float(gradient_norm)
        ids, span = [str(row) for row in rows], (self._observe.trace_id, self._observe.span_id)
        times = (round(seconds, 6), round(time.time(), 3))
        self._record.add(Entry(self._updates, float(loss), norm, *times, *span, ids, [0] * len(ids)))
        self._losses.append(float(loss))
        if gradient_norm is not None:
            self._norms.append(float(gradient_norm))
        self._rate = learning_rate
        if self._updates % self._every == 0:
            self.read()

    def validate(self, loss: float, score: float | None = None) -> None:
        """Tell of an evaluation: the mean validation loss in nats, and the task's own metric."""
        self._best = min(self._best, loss)
        self._observe.metric("validation.loss", loss, update=self._updates)
        self._observe.metric("validation.best_loss", self._best, update=self._updates)
        if score is not None:
            self._observe.metric("validation.score", score, update=self._updates)
        self._began = time.monotonic()  # the next update's time is without it

    def read(self) -> None:
        """Record the means since the last reading, as curves show them, and end the span of these updates. Called by itself after every
        so many updates, and at the end."""
        if self._interval is None:
            return
        throughput = self._throughput
        readings = {
            "training.loss": sum(self._losses) / len(self._losses),
            "training.gradient_norm": sum(self._norms) / len(self._norms) if self._norms else None,
            "training.learning_rate": self._rate,
            "training.tokens_per_second": throughput.tokens_per_second if self._tokens else None,
            "training.updates_per_second": throughput.updates_per_second,
            "training.updates": self._updates,
            "training.tokens": self._tokens if self._tokens else None,
            "training.seconds": throughput.seconds,
            "training.not_finite": float(not all(map(math.isfinite, self._losses))),
        }
        for name, value in readings.items():
            if value is not None:
                self._observe.metric(name, value, update=self._updates)
        self._losses, self._norms = [], []
        self._observe.annotate(last_update=self._updates)
        self._interval.__exit__(None, None, None)
        self._interval = None


@contextmanager
def watch(name: str, parameters: Mapping[str, Any] | None = None, *, every: int = 50) -> Iterator[Watched]:
    """Within, a training of this name is on the dashboards, and `update` and `validate` of what is returned tell how it goes.

    `parameters` are shown beside its curves; losses are read every so many updates, and each is on record.
    """
    store, meter = Store.default(), Meter()
    run = Run.start(store.root, uuid.uuid4().hex, name, os.environ.get("MLFLOW_TRACKING_URI", ""))
    folder = store.root / "runs" / run.id / NODE
    folder.mkdir()
    atomic.write_json(folder / "training.json", {"log_every": every, "inputs": {}})
    record = UpdateLog(folder / LINES)
    record.go_on_after(0)
    with ExitStack() as stack:
        stack.callback(record.close)
        if shipping := Shipping.start(store.root / "outbox"):
            stack.callback(shipping.close)
        observe = Observe.open(
            "glassformer", pipeline=name, run=run.id, step=NODE, node=NODE, outbox=store.root / "outbox",
            log_file=store.root / "logs" / run.id / f"{NODE}.jsonl",
        )  # fmt: skip
        stack.callback(observe.close)
        observe.profile()
        run.trace_id = observe.trace_id
        run.put_node(NODE, {"state": "running"})
        run.save()
        watched = Watched(run, observe, record, every)
        state = FINISHED
        try:
            with report_state(observe, NODE, run.title), observe.span("step"):
                observe.log("step.started", f"{name} started", config=redact(dict(parameters or {})))
                with observe.span("train"):
                    try:
                        yield watched
                    finally:
                        watched.read()
                        cost = meter.record(observe)
                observe.log("step.finished", f"{name} is done in {cost['seconds']:.1f} s", cost=cost)
        except BaseException as error:
            state = _STATES[result_of(error)]
            raise
        finally:
            run.put_node(NODE, {"state": state.lower()})
            run.end(state)
