"""Flax and TensorFlow on the whole road: fine-tuned from PyTorch's weights, killed and resumed, registered, gated and served."""

import json
import subprocess
import sys

import pytest

from artifacts import open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.errors import UserError
from artifacts.report import Report
from artifacts.store import Store
from models import devices
from pipelines import graph
from pipelines.fingerprint import Environment, parts_of
from pipelines.plan import plan
from steps.promote.evidence import FILE
from tests.finished import finished_run
from tests.pipeline_home import ROOT, Home
from tests.pipelines.test_kill import kill_again_and_again
from tests.pipelines.test_tiny import asked_without_end
from tests.waiting import until

PIPELINE = "tests/pipelines/tiny_frameworks.yaml"
TUNED = {"flax": "finetune", "tensorflow": "finetune_tensorflow"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    whole = finished_run(PIPELINE)
    return whole, whole.copy(tmp_path_factory.mktemp("frameworks"))


def artifact_of(whole, node, kind):
    digest = whole.digests[node]
    return open_artifact(next((whole.home.state / "artifacts" / kind).glob(f"{digest[:16]}-*")))


@pytest.mark.frameworks
def test_checkpoints_of_twins_say_who_trained_them_and_continue_pytorchs(ran):
    whole, _ = ran
    start = Checkpoint(artifact_of(whole, "pretrain", "checkpoint"))
    assert start.framework == "torch"
    for framework, node in TUNED.items():
        artifact = artifact_of(whole, node, "checkpoint")
        tuned = Checkpoint(artifact)
        assert tuned.framework == framework
        assert tuned.pretraining[0] == start.history | {"task": "masked_lm"}
        assert tuned.config == start.config
        about = json.loads((artifact.path / "sidecars" / "training.json").read_text())
        assert about["compile_seconds"] > 0
    one, other = (Checkpoint(artifact_of(whole, node, "checkpoint")).history for node in TUNED.values())
    for ours, theirs in zip(one["training"], other["training"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


@pytest.mark.frameworks
def test_reports_compare_the_logits_of_both_frameworks(ran):
    whole, _ = ran
    for framework, node in (("flax", "evaluate_flax"), ("tensorflow", "evaluate_tensorflow")):
        parity = Report(artifact_of(whole, node, "report")).scores["parity"]
        assert parity["framework"] == framework
        assert parity["answers"] == 16
        assert 0 <= parity["largest_difference"] < 1e-5
    page = (artifact_of(whole, "evaluate_flax", "report").path / "sidecars" / "report.html").read_text()
    assert "in Flax" in page
    assert "in TensorFlow" in page
    assert "peak memory in MiB" in page


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", TUNED)
def test_version_that_a_twin_trained_is_promoted_and_served(ran, framework):
    _, home = ran
    name = f"glassformer-in-{framework}"
    policy = "{baseline: null, samples: 500, slices: {samples: 100}, latency: {requests: 5}, robustness_rows: 0}"
    told = home.run("--model", name, "--gate", policy, module="steps.promote")
    assert f"{name} version 1 is now champion" in told
    evidence = [json.loads(path.read_text()) for path in home.folder.glob(f"mlruns/**/gate/{FILE}")]
    verdicts = [str(one) for one in evidence if f"logits of {framework} and torch are at most" in str(one)]
    assert len(verdicts) == 1
    with asked_without_end(home, name) as answers:
        until(lambda: answers[-1:] == [(200, "1")])


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", TUNED)
def test_twin_killed_in_training_ends_with_the_same_digest(tmp_path, framework):
    whole = finished_run(PIPELINE)
    node = TUNED[framework]

    def begin(folder):
        return whole.cache(folder, ("prepare_data", "train_tokenizer", "pretrain", *({"finetune"} - {node})))

    def wait(home):
        home.wait_for(f"runs/*/{node}.metrics.jsonl")

    kill_again_and_again(tmp_path, begin, [PIPELINE, "--to", node], 2, wait)


@pytest.mark.frameworks
def test_only_the_chosen_frameworks_code_and_packages_count(tmp_path):
    (pipeline,) = graph.load(PIPELINE)
    environment = Environment(root=tmp_path)
    parts = {
        framework: parts_of(pipeline.nodes[node], dict.fromkeys(pipeline.nodes[node].inputs, "0" * 64), environment)
        for framework, node in (*TUNED.items(), ("torch", "pretrain"))
    }
    for framework, each in parts.items():
        for other in ("flax", "tensorflow"):
            counted = [file for file in each["code"] if file.startswith((f"models/{other}/", f"training/{other}/"))]
            assert bool(counted) == (framework == other), counted
        assert any(file.startswith("training/torch/") for file in each["code"])
        assert {"jax", "tensorflow"} & each["packages"].keys() == (
            {"flax": {"jax"}, "tensorflow": {"tensorflow"}}.get(framework, set())
        )


def test_torch_runs_load_no_other_framework():
    program = """
import sys
from pipelines import graph, plan
from training.frameworks import build_network, prepare
from models.config import ModelConfig
from models.network import Part
prepare()
build_network({"encoder": Part("Encoder")}, ModelConfig(vocab_size=20, d_model=8, d_ff=8, num_heads=2, num_layers=1), 1)
graph.load("tiny")
print(sorted({"jax", "flax", "optax", "tensorflow"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("framework", "message"),
    [
        ("keras", "parameter framework='keras'"),
        ("Flax", "parameter framework='Flax'"),
    ],
)
def test_unknown_framework_ends_with_2_before_anything_runs(tmp_path, framework, message):
    home = Home(tmp_path)
    told = home.run("run", "tiny", "--set", f"pretrain.framework={framework}", expect=2)
    assert message in told
    assert "torch" in told
    assert "Traceback" not in told
    assert not (home.state / "artifacts").exists()


@pytest.fixture
def without_twins(monkeypatch):
    """As if neither Flax nor TensorFlow were installed."""
    real, twins = devices.importlib.util.find_spec, {"jax", "flax", "optax", "tensorflow"}
    monkeypatch.setattr(
        devices.importlib.util, "find_spec", lambda name, *more: None if name in twins else real(name, *more)
    )


@pytest.mark.usefixtures("without_twins")
def test_missing_packages_are_named_with_the_remedy():
    with pytest.raises(ValueError, match="framework=flax needs jax, flax, optax: `make setup FRAMEWORKS=1`"):
        devices.check_framework("flax")
    assert devices.check_framework("torch") == "torch"


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", TUNED)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("finetune.optimizer=muon",), "has no optimizer=muon: set optimizer=adamw, or framework=torch"),
        (("finetune.lora_rank=4",), "has no lora_rank=4: set lora_rank=0"),
    ],
)
def test_option_that_a_twin_lacks_ends_with_2_in_one_line(tmp_path, framework, settings, message):
    chosen = [part for one in (f"finetune.framework={framework}", *settings) for part in ("--set", one)]
    told = Home(tmp_path).run("run", "tiny", *chosen, expect=2)
    assert f"framework={framework} {message}" in told
    assert "Traceback" not in told


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", TUNED)
def test_network_that_a_twin_lacks_is_refused_before_training(ran, framework):
    _, home = ran
    chosen = (f"finetune.framework={framework}", "pretrain.preset=", "pretrain.bigram_buckets=1024")
    told = home.run("run", "tiny", *(part for one in chosen for part in ("--set", one)), "--to", "finetune", expect=1)
    failed = [line for line in told.splitlines() if "finetune failed" in line]
    assert len(failed) == 1
    assert "bigram_buckets" in failed[0]
    assert "Traceback" not in told


@pytest.mark.usefixtures("without_twins")
def test_plan_names_missing_packages_and_listing_needs_none(tmp_path):
    (pipeline,) = graph.load("frameworks")
    with pytest.raises(UserError, match="framework=tensorflow needs tensorflow: `make setup FRAMEWORKS=1`") as error:
        plan(pipeline, Store(tmp_path))
    assert error.value.exit_code == 2
