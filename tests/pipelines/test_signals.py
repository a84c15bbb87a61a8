"""SIGTERM and Ctrl-C in each phase: saved, closed as KILLED, the right exit code, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.finished import finished_run
from tests.pipeline_home import ROOT, Home

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("node", ["prepare_data", "train_tokenizer", "pretrain", "finetune", "evaluate", "register"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_in_any_node_ends_run_as_killed(tmp_path_factory, half_done, node, number, code):
    home = half_done(node)
    process = home.start("run", "tiny", "--force", node)
    home.wait_for(f"logs/*/{node}.jsonl")
    time.sleep(0.2)  # into its work: the shortest of these takes a second
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal sends Ctrl-C to the whole group
    else:
        process.send_signal(number)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == code, output[-3000:]
    assert home.wait_gone(5.0) == []
    assert "Traceback" not in output
    states = home.mlflow_states()
    assert states[node] == ["KILLED"], states
    assert "KILLED" in states["tiny"]
    assert "RUNNING" not in {state for found in states.values() for state in found}


@pytest.fixture(scope="module")
def half_done(tmp_path_factory):
    """A home for each test in which everything is in the cache."""
    return lambda node: finished_run("tiny").cache(tmp_path_factory.mktemp(node))


def test_training_saves_checkpoint_on_sigterm(half_done):
    home = half_done("pretrain")
    process = home.start("run", "tiny", "--force", "pretrain", "--to", "pretrain", "--set", "pretrain.max_updates=4000")
    metrics = home.wait_for("runs/*/pretrain.metrics.jsonl")  # made when the step starts, filled when it trains
    while not metrics.stat().st_size and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 143, output[-3000:]
    saved = [
        path for path in (home.state / "work").glob("*/**/*") if path.is_file() and "artifact.tmp" not in str(path)
    ]
    assert saved, "no checkpoint was saved"


def test_killing_mlflow_run_ends_pipeline(tmp_path):
    home = Home(tmp_path)
    mlflow = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local", "-P", "pipeline=tiny"],
        cwd=ROOT,
        env=home.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    home.wait_for("runs/*/prepare_data.json")
    mlflow.kill()
    mlflow.wait()
    assert home.wait_gone(10.0) == []
