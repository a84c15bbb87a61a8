"""Two trainings side by side: the same artifacts as one after another, one trace, nested runs; also after a signal."""

import json
import signal
import time

import pytest

from tests.finished import finished_run

pytestmark = pytest.mark.slow
BEFORE = ("prepare_data", "train_tokenizer", "pretrain")
TWO = ("finetune", "finetune_scratch")


def test_signal_ends_both_trainings_and_the_next_run_gives_the_same_artifacts(tmp_path):
    home = finished_run("tiny").cache(tmp_path, BEFORE)
    process = home.start("run", "tiny", "--to", "evaluate", "--jobs", "2")
    feeds = [home.wait_for(f"runs/*/{node}.metrics.jsonl") for node in TWO]
    while not all(feed.stat().st_size for feed in feeds) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output[-3000:]
    assert home.wait_gone(5.0) == []
    assert "Traceback" not in output
    states = home.mlflow_states()
    assert [states[node] for node in TWO] == [["KILLED"], ["KILLED"]]
    output = home.run("run", "tiny", "--to", "evaluate", "--jobs", "2")
    whole, plan = finished_run("tiny").digests, home.plan("tiny")
    assert {node: plan[node]["artifact"] for node in (*BEFORE, *TWO)} == {node: whole[node] for node in (*BEFORE, *TWO)}
    assert plan["evaluate"]["state"] == "HIT"
    assert list((home.state / "locks").iterdir()) == []
    parts = [line.split() for line in output.splitlines() if line.startswith("  ")]
    table = [words[0] for words in parts if words[1:2] in (["made"], ["cached"])]
    assert table == [*BEFORE, *TWO, "evaluate"], "in the pipeline's order"
    assert_nested(home)


def assert_nested(home):
    """Each node's run is below the one of its pipeline, and each step's log has its pipeline's trace."""
    runs = {run.info.run_id: run for run in home.mlflow_runs()}
    for run in runs.values():
        if run.info.run_name != "tiny":
            parent = runs[run.data.tags["mlflow.parentRunId"]]
            assert parent.info.run_name == "tiny"
            assert parent.data.tags["glassformer.run"] == run.data.tags["glassformer.run"]
    for folder in (home.state / "logs").iterdir():
        traces = {
            json.loads(line)["trace_id"] for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()
        }
        assert len(traces) == 1
