"""Runs as a pipeline leaves them behind, in MLflow and in a store, without training anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifacts import Output, atomic
from artifacts.runs import Run
from artifacts.store import Store

START = 1_700_000_000  # seconds since 1970
LOG_EVERY = 10


def losses_of(updates: int, spike: int = 0) -> list[float]:
    """A loss that falls, and is 9 at the update of a spike."""
    return [9.0 if update == spike else 3 - update / updates for update in range(1, updates + 1)]


def record_run(
    client: Any, store: Store, run_id: str, *, at: float, losses: list[float], parameters: Mapping[str, Any], score: float = 0.0
) -> str:  # fmt: skip
    """A run of `tiny` that pretrained, and evaluated if it has a score. Returns its id in MLflow."""
    tags = {"glassformer.pipeline": "tiny", "glassformer.run": run_id}
    parent = client.create_run("0", start_time=int(1000 * at), run_name="tiny", tags=tags).info.run_id
    run = Run.start(store.root, run_id, "tiny", "")
    run.started_at, run.mlflow_runs = at, {"": parent}
    run.nodes["pretrain"] = _pretrain(client, store, run_id, parent, at, losses, parameters)
    if score:
        run.nodes["evaluate"] = _evaluate(client, store, run_id, parent, at, score)
    run.end("FINISHED")
    client.set_terminated(parent, "FINISHED")
    return str(parent)


def _child(client: Any, run_id: str, parent: str, step: str, at: float) -> str:
    tags = {
        "glassformer.run": run_id,
        "glassformer.node": step,
        "glassformer.step": step,
        "mlflow.parentRunId": parent,
        "glassformer.fingerprint": f"{step}-{run_id}",
    }
    child = client.create_run("0", start_time=int(1000 * at), run_name=step, tags=tags).info.run_id
    client.set_terminated(child, "FINISHED")
    return str(child)


def _pretrain(
    client: Any, store: Store, run_id: str, parent: str, at: float, losses: list[float], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    from mlflow.entities import Metric, Param

    child, start = _child(client, run_id, parent, "pretrain", at), at + 5
    readings = []
    for update in range(LOG_EVERY, len(losses) + 1, LOG_EVERY):
        when, mean = int(1000 * (start + 2 * update)), sum(losses[update - LOG_EVERY : update]) / LOG_EVERY
        readings.append(Metric("training.loss", mean, when, update))
        readings.append(Metric("training.tokens", 100.0 * update, when, update))
    readings.append(Metric("validation.loss", 2.5, int(1000 * (start + 2 * len(losses))), len(losses)))
    client.log_batch(child, metrics=readings, params=[Param(name, str(value)) for name, value in parameters.items()])
    output = Output("checkpoint", store.work(f"pretrain-{run_id}"), step="pretrain", root=store.root)
    atomic.write_json(output.file("history.json"), {"run": run_id})
    lines = [
        json.dumps([n, loss, 1.0, 2.0, start + 2 * n, "", "", ["x:1"], [0]]) + "\n" for n, loss in enumerate(losses, 1)
    ]
    output.sidecar("updates.jsonl").write_text("".join(lines))
    return _finished(store, run_id, output, {"parameters": dict(parameters)})


def _evaluate(client: Any, store: Store, run_id: str, parent: str, at: float, score: float) -> dict[str, Any]:
    _child(client, run_id, parent, "evaluate", at + 500)
    output = Output("report", store.work(f"evaluate-{run_id}"), step="evaluate", root=store.root)
    mine = {"value": score, "low": score - 0.05, "high": score + 0.05}
    scores = {
        "primary_metric": "macro_f1",
        "higher_is_better": True,
        "metrics": {"macro_f1": mine},
        "baselines": {"majority class": {"macro_f1": {"value": 0.1}}},
    }
    atomic.write_json(output.file("scores.json"), scores)
    atomic.write_json(output.file("data.json"), {})
    return _finished(store, run_id, output, {"parameters": {}})


def _finished(store: Store, run_id: str, output: Output, parts: dict[str, Any]) -> dict[str, Any]:
    made = output.commit()
    fingerprint = f"{output.step}-{run_id}"
    known = {"code": {}, "inputs": {}, "files": {}, "packages": {}, "python": "CPython 3.11"}
    record = {
        "step": output.step, "node": output.step, "pipeline": "tiny", "fingerprint": fingerprint, "parts": known | parts,
        "artifact": {"path": store.path_of(made), "digest": made.digest, "kind": made.kind}, "finished_at": "",
    }  # fmt: skip
    store.keep(record)
    store.forget_work(fingerprint)
    path = Path(store.path_of(made))
    return {
        "state": "made",
        "digest": made.digest,
        "path": path.as_posix(),
        "seconds": 12.0,
        "fingerprint": fingerprint,
    }
