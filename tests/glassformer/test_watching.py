"""A training loop that is not ours: on the dashboards, on record, and found by `why`."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest

import glassformer
from artifacts.runs import FAILED, FINISHED, KILLED, Run, all_runs
from pipelines import mlflow_run
from telemetry import Observe
from telemetry.names import STATES
from tests.pipeline_home import ROOT
from tests.telemetry.outbox_records import attributes, points, recorded_spans
from training.update_log import Updates


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path))
    return tmp_path


def train(updates, spike=0, **about):
    """A loop whose loss falls, but for one update. Returns the run's id."""
    with glassformer.watch("my-loop", {"rate": 0.1}, every=10) as training:
        for number in range(1, updates + 1):
            loss = 9.0 if number == spike else 1 / number + 1
            training.update(loss, tokens=100, gradient_norm=0.5, learning_rate=0.1, rows=[f"row {number}"], **about)
        training.validate(1.25, score=0.5)
        training.validate(1.5)
    return training.run


def said(*command, home):
    environment = {**os.environ, "GLASSFORMER_HOME": str(home)}
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_watched_loop_has_the_metrics_spans_and_run_of_a_training(home):
    run = train(25)
    found = points(home)
    last = {name: found[name].gauge.data_points[0].as_double for name in found if found[name].HasField("gauge")}
    assert last["training.loss"] == pytest.approx(sum(1 / n + 1 for n in range(21, 26)) / 5)
    assert (last["training.updates"], last["training.tokens"], last["training.learning_rate"]) == (25, 2500, 0.1)
    assert found["step.progress"].gauge.data_points[0].as_int == 25
    assert (last["validation.loss"], last["validation.best_loss"], last["validation.score"]) == (1.5, 1.25, 0.5)
    assert found["training.update_loss"].histogram.data_points[0].count == 25
    assert all(last[f"step.{cost}"] > 0 for cost in ("seconds", "cpu_seconds", "peak_bytes"))
    spans = recorded_spans(home)
    intervals = [attributes(span) for span in spans if span.name == "interval"]
    assert [(one["first_update"], one["last_update"]) for one in intervals] == [(1, 10), (11, 20), (21, 25)]
    assert {span.trace_id.hex() for span in spans} == {run}
    (kept,) = all_runs(home)
    assert (kept.id, kept.pipeline, kept.state, kept.trace_id) == (run, "my-loop", FINISHED, run)
    assert "my-loop" in said("pipelines", "runs", home=home)


def test_spike_of_a_watched_loop_leads_to_its_rows(home):
    run = train(40, spike=33)
    answer = json.loads(said("tasks.why", "--run", run[:8], "--json", home=home))
    assert (answer["update"], answer["loss"], answer["state"], answer["missing"]) == (33, 9.0, "finished", "")
    assert [one["row"] for one in answer["batch"]] == ["row 33"]
    assert "row 33" in said("tasks.why", "--run", run[:8], home=home)


def test_loop_that_fails_is_a_failed_run_and_keeps_its_record(home):
    run = ""

    def fail():
        nonlocal run
        with glassformer.watch("my-loop") as training:
            run = training.run
            training.update(2.0)
            training.update(math.nan)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    (kept,) = all_runs(home)
    assert kept.state == FAILED
    updates = Updates.within(home / "runs" / run / "pretrain")
    assert [entry.loss for entry in updates.between(1, 9)] == [2.0, pytest.approx(math.nan, nan_ok=True)]
    assert points(home)["training.not_finite"].gauge.data_points[0].as_double == 1
    statuses = {span.name: span.status.code for span in recorded_spans(home)}
    assert (statuses["step"], statuses["train"]) == (2, 2)


def test_loop_that_is_killed_is_marked_killed_with_its_node_by_the_next_run(home, tmp_path):
    killed = (
        "import glassformer, os, signal\nwith glassformer.watch('my-loop'):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["GLASSFORMER_HOME"] = str(home)
    done = subprocess.run([sys.executable, "-c", killed], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    current = Run.start(home, "next", "tiny", "sqlite:////elsewhere.db")
    mlflow_run.close_abandoned(None, current, Observe.silent())  # a loop has no runs in MLflow: nothing is asked there
    (kept,) = (run for run in all_runs(home) if run.id != "next")
    assert (kept.state, kept.reported) == (KILLED, True)
    found = points(home)
    states = {name: found[name].gauge.data_points[0] for name in ("pipeline.state", "node.state")}
    assert {name: point.as_double for name, point in states.items()} == dict.fromkeys(states, STATES["killed"])
    assert attributes(states["node.state"]) == {"node": "pretrain"}


def test_parameters_of_a_watched_loop_are_shown_without_secrets(home):
    with glassformer.watch("my-loop", {"rate": 0.1, "api_key": "sk-abcdefghijklmnopqrstuvwxyz0123456789"}):
        pass
    (log,) = home.glob("logs/*/pretrain.jsonl")
    assert '"rate": 0.1' in log.read_text()
    assert "abcdefghijklmnop" not in log.read_text()


def test_hugging_face_callback_of_the_page_tells_of_each_update(home, tmp_path):
    transformers = pytest.importorskip("transformers")
    page = (ROOT / "docs" / "python.md").read_text()
    (block,) = (
        part.partition("\n```")[0] for part in page.split("```python\n") if "class Watch" in part.partition("\n```")[0]
    )
    names = {"glassformer": glassformer}
    exec(block, names)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    row = {"input_ids": [1, 2, 3], "labels": [1, 2, 3]}
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=4, logging_steps=1, eval_strategy="steps", eval_steps=2,
        per_device_train_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = transformers.Trainer(
        transformers.BertForMaskedLM(config),
        arguments,
        train_dataset=[row] * 8,
        eval_dataset=[row],
        callbacks=[names["Watch"]()],
    )
    trainer.train()
    (kept,) = all_runs(home)
    assert (kept.pipeline, kept.state) == ("trainer", FINISHED)
    updates = Updates.within(home / "runs" / kept.id / "pretrain")
    assert [entry.update for entry in updates.between(1, 9)] == [1, 2, 3, 4]
    assert points(home)["validation.loss"].gauge.data_points[0].as_double > 0
