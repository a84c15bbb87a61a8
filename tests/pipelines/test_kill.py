"""SIGKILL anywhere, run again: the same bytes as if nothing had happened."""

import os
import random
import signal
import time

import pytest

from artifacts import open_artifact
from tests.finished import finished_run
from tests.pipeline_home import Home, kill_group

pytestmark = pytest.mark.slow
KILLS = 5 if os.environ.get("CI") else int(os.environ.get("KILLS", "20"))
KILLS_OF_OTHERS = max(2, KILLS // 2)  # than `tiny`: the driver's part is the same for all
# One for each kind of network but the encoder of `tiny`: encoder and decoder, images, a decoder. How other trainings resume
# (ELECTRA, a teacher's lesson) is tested with their tasks.
TRAININGS = {"tiny_dates": "train", "tiny_digits": "finetune", "tiny_gpt": "pretrain"}
DATA = ("prepare_data", "train_tokenizer")


def kill_again_and_again(folder, begin, pipeline, kills, wait):
    """Kill a pipeline again and again, look at what is left, and let it end.

    `pipeline` are the arguments of the run, `begin` makes a home to start in, `wait` waits in it until the moment of a kill.
    """
    expected, survived = finished_run(pipeline[0]).digests, 0
    home = begin(folder / "home")
    for number in range(kills):
        process = home.start("run", *pipeline)
        wait(home)
        kill_group(process)
        assert home.wait_gone(10.5) == [], "steps end within ten seconds of their launcher"
        for path in (home.state / "artifacts").glob("*/*"):
            open_artifact(path)  # whole, or not there
        if is_whole(home, pipeline, expected):
            survived += 1
            home = begin(folder / f"home{number}")  # the run got through: begin a new one
    home.run("run", *pipeline)
    assert is_whole(home, pipeline, expected)
    assert "RUNNING" not in {state for states in home.mlflow_states().values() for state in states}
    assert list((home.state / "locks").iterdir()) == []
    assert not list((home.state / "work").iterdir())
    assert survived < kills, "the kills came too late to prove anything"


def is_whole(home, pipeline, expected):
    """Whether the last node was made; then all must be as in an undisturbed run."""
    name, *rest = pipeline
    plan = home.plan(name)
    last = rest[1] if rest else list(plan)[-1]
    nodes = list(plan)[: list(plan).index(last) + 1]
    if {plan[node]["state"] for node in nodes} != {"HIT"}:
        return False
    assert {node: plan[node]["artifact"] for node in nodes} == {node: expected[node] for node in nodes}
    return True


def test_pipeline_killed_at_random_gives_digests_of_undisturbed_run(tmp_path):
    draw, seconds = random.Random(20261124), finished_run("tiny").seconds

    def begin(folder):
        folder.mkdir()
        return Home(folder)

    kill_again_and_again(tmp_path, begin, ["tiny"], KILLS, lambda _: time.sleep(draw.uniform(1.0, seconds / 2)))


@pytest.mark.parametrize("name", TRAININGS)
def test_training_killed_at_random_gives_identical_artifacts(tmp_path, name):
    pipeline, draw = f"tests/pipelines/{name}.yaml", random.Random(20261124)
    whole = finished_run(pipeline)

    def begin(folder):
        return whole.cache(folder, DATA)

    def wait(home):
        """Within a second of the first training's first metrics; of those after it, within three of the start."""
        first = not list(home.state.glob(metrics))
        home.wait_for(metrics)
        time.sleep(draw.uniform(0.0, 1.0 if first else 3.0))

    metrics = f"runs/*/{TRAININGS[name]}.metrics.jsonl"
    kill_again_and_again(tmp_path, begin, [pipeline, "--to", TRAININGS[name]], KILLS_OF_OTHERS, wait)


def test_control_other_seed_changes_later_digests(tmp_path):
    """The tests above can fail: another seed for one node gives other bytes from there on."""
    whole, other_seed = finished_run("tiny"), ("tiny", "--set", "pretrain.seed=99")
    home = whole.cache(tmp_path, DATA)
    home.run("run", *other_seed, "--to", "finetune")
    other = {node: entry["artifact"] for node, entry in home.plan(*other_seed).items()}
    assert other["train_tokenizer"] == whole.digests["train_tokenizer"]
    assert other["pretrain"] != whole.digests["pretrain"]
    assert other["finetune"] != whole.digests["finetune"]


def test_steps_end_with_killed_launcher_and_next_start_closes_runs(tmp_path):
    home = finished_run("tiny").cache(tmp_path, DATA)
    process = home.start("run", "tiny")
    home.wait_for("runs/*/pretrain.metrics.jsonl")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert home.wait_gone(10.0) == []
    assert "RUNNING" in {state for states in home.mlflow_states().values() for state in states}
    home.run("run", "tiny", "--to", "train_tokenizer")
    states = home.mlflow_states()
    assert states["pretrain"] == ["KILLED"]
    assert sorted(states["tiny"]) == ["FINISHED", "KILLED"]


def test_forced_rerun_with_same_result_keeps_later_nodes_cached(tmp_path):
    home = finished_run("tiny").cache(tmp_path)
    output = home.run("run", "tiny", "--to", "pretrain", "--force", "prepare_data")
    assert home.digests() == finished_run("tiny").digests
    lines = {line.split()[0]: line.split()[1] for line in output.splitlines() if line.startswith("  ")}
    assert lines == {"prepare_data": "made", "train_tokenizer": "cached", "pretrain": "cached"}
