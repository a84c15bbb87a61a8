"""The whole road as a user walks it: the pipeline `tiny`, run, planned, changed, looked at in MLflow, and asked."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import urllib3

from artifacts import open_artifact
from tasks.lengths import COLUMNS
from telemetry.segments import segments
from tests.deploy.serving.stub import asked_all_the_time
from tests.finished import finished_run
from tests.pipeline_home import ROOT, Home
from tests.telemetry.outbox_records import recorded_spans
from tests.waiting import until

NODES = ["prepare_data", "train_tokenizer", "pretrain", "finetune", "finetune_scratch", "evaluate", "register"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    whole = finished_run("tiny")
    return whole.copy(tmp_path_factory.mktemp("tiny")), whole.output


@pytest.fixture(scope="module")
def again(ran):
    """The output of the same command, run again."""
    home, _ = ran
    digests = home.digests()
    output = home.run("run", "tiny", "--promote")
    assert home.digests() == digests
    return output


def test_run_output_shows_scores_version_and_links(ran):
    _, output = ran
    for told in ("score     macro F1", "majority class", "TF-IDF + logistic regression", "without pretraining",
                 "glassformer-tiny version 1 (challenger, champion)", "report.html", "trace     ", "MLflow    "):  # fmt: skip
        assert told in output, told
    assert "Traceback" not in output
    assert "telemetry:" not in output


def test_rerun_hits_every_node_and_starts_only_promote(ran, again):
    home, _ = ran
    assert [entry["state"] for entry in home.plan("tiny").values()] == ["HIT"] * 7
    assert again.count("  cached  ") == 7
    assert [line.split()[1] for line in again.splitlines() if line.endswith(" started")] == ["promote"]
    assert not [line for line in again.splitlines() if line.startswith("{")], "JSON is for the files"


def test_changed_parameter_misses_later_nodes(ran):
    home, _ = ran
    plan = home.plan("tiny", "--set", "finetune.learning_rate=0.0001")
    missed = [node for node, entry in plan.items() if entry["state"] == "MISS"]
    assert missed == ["finetune", "evaluate", "register"]
    assert all("finetune.learning_rate" in " ".join(plan[node]["reasons"]) for node in missed)


def test_from_to_and_dry_run_limit_the_run(ran):
    home, _ = ran
    output = home.run("run", "tiny", "--from", "evaluate", "--set", "pretrain.seed=5", expect=2)
    assert "pretrain is not in the cache (parameter pretrain.seed: 1 -> 5); run without --from" in output
    assert "parameter pretrain.seed: 1 -> 5" in home.run("run", "tiny", "--dry-run", "--set", "pretrain.seed=5")
    output = home.run("run", "tiny", "--to", "train_tokenizer")
    assert [line.split()[0] for line in output.splitlines() if "cached  " in line] == NODES[:2]


def test_mlflow_shows_nodes_cost_lineage_and_data(ran, again):
    home, _ = ran
    client = home.client()
    parents = [run for run in home.mlflow_runs() if run.info.run_name == "tiny"]
    first = min(parents, key=lambda run: run.info.start_time)
    children = {
        run.data.tags["glassformer.node"]: run
        for run in home.mlflow_runs()
        if run.data.tags.get("mlflow.parentRunId") == first.info.run_id
    }
    assert set(children) == {*NODES, "promote"}
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert {"plan.json", "lineage.json", "cost.json", "report.html"} <= {
        f.path for f in client.list_artifacts(first.info.run_id)
    }
    assert first.data.metrics["pipeline.cache_misses"] == 7
    experiment = client.get_experiment(first.info.experiment_id)
    assert experiment.name == "glassformer-tiny"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development", "trainings, not traces of agents"
    (report,) = home.state.glob(f"artifacts/report/{home.digests()['evaluate'][:16]}-*/scores.json")
    scores = json.loads(report.read_text())
    value = scores["baselines"]["TF-IDF + logistic regression"]["macro_f1"]["value"]
    assert first.data.metrics["macro_f1"] == scores["metrics"]["macro_f1"]["value"]
    assert first.data.metrics["macro_f1/TF-IDF _ logistic regression"] == value
    assert first.data.tags["glassformer.version"] == "glassformer-tiny/1"
    (data,) = first.inputs.dataset_inputs
    assert data.dataset.digest == home.digests()["prepare_data"][:36]
    losses = client.get_metric_history(children["pretrain"].info.run_id, "training.loss")
    assert [point.step for point in losses] == list(range(10, 121, 10))
    assert children["register"].inputs.dataset_inputs, "the data sets are logged"
    tags = [run.data.tags for run in home.mlflow_runs()]
    links = {
        tag["glassformer.made_by"]
        for tag in tags
        if tag.get("glassformer.cached") == "true" and "glassformer.made_by" in tag
    }
    for node in ("pretrain", "register"):
        assert children[node].info.run_id in links, "a cached step links to the run that made it"


def test_registered_version_has_provenance_tags_and_score(ran):
    home, _ = ran
    version = home.client().get_model_version_by_alias("glassformer-tiny", "champion")
    assert version.tags["glassformer.checkpoint"] == home.digests()["finetune"]
    assert version.tags["glassformer.report"] == home.digests()["evaluate"]
    assert len(version.tags["glassformer.trace_id"]) == 32
    assert "## Score" in version.description
    assert "Licence" in version.description


def test_missing_version_is_registered_again(ran, tmp_path):
    import shutil

    home, _ = ran
    other = Home(tmp_path)
    shutil.copytree(home.state, other.state)
    output = other.run("run", "tiny")  # a tracking store that knows nothing of it
    assert "is gone: registering again" in output
    assert other.client().get_model_version("glassformer-tiny", "1").status == "READY"


def test_one_trace_spans_all_processes_and_outbox_has_every_signal(ran):
    home, _ = ran
    traces = {}
    for span in recorded_spans(home.state):
        traces.setdefault(span.trace_id, set()).add(span.name)
    whole = max(traces.values(), key=len)
    assert {"pipeline", "node", "step", "read", "train", "commit"} <= whole
    for signal in ("logs", "metrics"):
        assert segments(home.state / "outbox", signal)


def test_spans_name_where_the_time_of_pipeline_nodes_and_steps_went(ran):
    home, _ = ran
    spans = recorded_spans(home.state)
    for name in ("pipeline", "node", "step"):
        mine = [span for span in spans if span.name == name]
        whole = sum(span.end_time_unix_nano - span.start_time_unix_nano for span in mine)
        named = sum(named_ns(span, spans) for span in mine)
        assert named / whole > 0.95, name


def named_ns(span, spans):
    """How long of a span's time one of its children is under way."""
    named, reached = 0, span.start_time_unix_nano
    for child in sorted(spans, key=lambda one: one.start_time_unix_nano):
        if child.parent_span_id == span.span_id:
            began, ended = (
                max(child.start_time_unix_nano, reached),
                min(child.end_time_unix_nano, span.end_time_unix_nano),
            )
            named, reached = named + max(0, ended - began), max(reached, ended)
    return named


def test_artifact_with_changed_byte_is_reported_and_made_again(ran, tmp_path):
    import shutil

    home, _ = ran
    other = Home(tmp_path)
    shutil.copytree(home.state, other.state)
    (weights,) = (
        path
        for path in other.state.glob("artifacts/checkpoint/*/weights.safetensors")
        if open_artifact(path.parent, check=False).digest == home.digests()["pretrain"]
    )
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00\x01"[: 1 + (weights.read_bytes()[-1] == 0)][-1:])
    output = other.run("run", "tiny", "--to", "pretrain")
    assert "weights.safetensors: changed since it was made (sha256 differs): pretrain makes the checkpoint" in output
    assert other.plan("tiny")["finetune"]["state"] == "HIT", "the same bytes are made again"
    assert "Traceback" not in output


def test_listing_commands_show_versions_nodes_and_artifacts(ran):
    home, _ = ran
    assert "glassformer-tiny/1" in home.run("runs")
    assert "pretrain -->|checkpoint| finetune" in home.run("show", "tiny")
    assert "docs" in home.run("list")
    assert "finetune" in home.run("list", module="artifacts")
    assert "0 are not" in home.run("check", module="artifacts")


def test_gc_keeps_artifacts_needed_by_version_or_plan(ran, tmp_path):
    import shutil

    home, _ = ran
    other = Home(tmp_path)
    shutil.copytree(home.state, other.state)
    before = home.digests()
    for size in (900, 950):
        other.run("run", "tiny", "--to", "train_tokenizer", "--set", f"train_tokenizer.vocab_size={size}")
    assert "1 folders" in other.run("gc", "--keep-runs", "0", module="artifacts"), (
        "the tokenizer that no plan would find"
    )
    other.run("gc", "--keep-runs", "0", "--yes", module="artifacts")
    left = {open_artifact(path.parent).digest for path in other.state.glob("artifacts/*/*/manifest.json")}
    assert set(before.values()) - {before["train_tokenizer"]} <= left


def test_secrets_stay_out_of_files_and_runs(tmp_path):
    canary = "canary-3f9a1c7e5b"
    home = Home(tmp_path, {"MY_API_TOKEN": canary, "SERVICE_URL": f"https://user:{canary}@example.invalid/"})
    home.run(
        "run",
        "tiny",
        "--to",
        "prepare_data",
        "--set",
        f"prepare_data.license=see https://user:{canary}@example.invalid",
    )
    found = [path for path in tmp_path.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
    assert [path.relative_to(tmp_path).as_posix() for path in found] == []


@pytest.mark.slow
def test_the_registered_model_answers_raw_text_with_pickle_forbidden(ran, tmp_path):
    home, _ = ran
    (tmp_path / "input.json").write_text(
        json.dumps({"dataframe_split": {"columns": ["text"], "data": [["Return the sum."], [""]]}})
    )
    command = [sys.executable, "-m", "mlflow", "models", "predict", "-m", "models:/glassformer-tiny@champion",
               "-i", str(tmp_path / "input.json"), "-t", "json", "--env-manager", "local"]  # fmt: skip
    environment = home.environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr[-3000:]
    predictions = json.loads(answer.stdout[answer.stdout.index("{") :])["predictions"]
    assert len(predictions) == 2
    assert set(predictions[0]) == {"prediction", "probability", *COLUMNS}


@pytest.mark.slow
def test_readme_walkthrough_promotes_serves_and_rolls_back(ran):
    """`make run`, a second run with a change, `mlflow run . -e promote`, `make serve`, a request, a rollback, the story."""
    home, first = ran
    assert "gate      promoted: there was no champion, and all that is required holds (runs:/" in first
    output = home.run("run", "tiny", "--set", "finetune.max_updates=20", "--promote")
    assert "glassformer-tiny version 2 (challenger)" in output
    assert "gate      refused: " in output
    assert "/gate/gate.html)" in output

    with asked_without_end(home, "glassformer-tiny") as answers:
        until(lambda: answers[-1:] == [(200, "1")])
        environment = home.environment | {"GLASSFORMER_USER": "ann"}
        command = [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local", "-e", "promote",
                   "-P", "model=glassformer-tiny", "-P", "override=to see it", "-P", "gate={robustness_rows: 0}"]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        until(lambda: answers[-1:] == [(200, "2")], 60)
        told = home.run("--explain", "glassformer-tiny", module="steps.promote")
        for part in (
            "version 2 is champion",
            "override, by ann, in place of 1",
            "because     to see it (the gate: ",
            "made from   corpus ",
        ):
            assert part in told
        assert "agree" in home.run("--verify", "glassformer-tiny", module="steps.promote")

        output = home.run("--rollback", "glassformer-tiny", module="steps.promote")
        assert "glassformer-tiny version 1 is champion again, in place of 2: rolled back" in output
        until(lambda: answers[-1:] == [(200, "1")], 10)
    assert {code for code, _ in answers} == {200}
    told = home.run("--history", "glassformer-tiny", module="steps.promote")
    assert [line.split()[2] for line in told.splitlines() if "->" in line] == ["rollback", "override", "promote"]
    assert "no such registered model" in home.run("--explain", "nobody", module="steps.promote", expect=1)
    assert "takes the name of a registered model" in home.run("--explain", module="steps.promote", expect=2)


@contextmanager
def asked_without_end(home, model):
    """A server of the model that is asked all the time; what it answers: status and version."""
    server = home.start(model, "--port", "0", "--poll", "0.2", module="deploy.serving")
    lines = []
    while not lines or not lines[-1].startswith("http://"):
        lines.append(server.stdout.readline())
        assert lines[-1], "".join(lines)
    pool = urllib3.connection_from_url(lines[-1].split()[0], retries=False, timeout=30)

    def ask():
        time.sleep(0.02)  # leaves the processor to the commands that run meanwhile
        answer = pool.request("POST", "/v1/classify", body=b'{"inputs": "Return the sum."}')
        return answer.status, answer.json().get("version")

    try:
        with asked_all_the_time(ask, 1) as answers:
            yield answers
    finally:
        pool.close()
        server.terminate()
        server.communicate(timeout=60)
    assert server.returncode == 0


@pytest.mark.slow
def test_mlflow_run_starts_pipeline_and_single_step(ran, tmp_path):
    home, _ = ran
    (tmp_path / "texts.txt").write_text(
        "".join(f"line {n} of a small text that is long enough {n * 7}\n" for n in range(400))
    )

    def mlflow_run(*options):
        command = [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local", *options]
        return subprocess.run(command, cwd=ROOT, env=home.environment, capture_output=True, text=True, timeout=300)

    done = mlflow_run("-P", "pipeline=tiny")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("  cached  ") == 7
    done = mlflow_run("-e", "prepare_data", "-P", f"source={tmp_path}/*.txt", "-P", "min_characters=10",
                      "-P", "near_duplicate_threshold=1")  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert open_artifact(done.stdout.strip().splitlines()[-1], "corpus").counts["train"] > 200


@pytest.mark.slow
def test_mlflow_run_with_uv_environment_hits_cache(ran, tmp_path):
    """`--env-manager uv`: from the same lock, so what the pipeline made before is a hit."""
    home, _ = ran
    environment = home.environment | {
        "MLFLOW_ENV_ROOT": str(tmp_path / "envs"),
        "HOME": os.environ.get("HOME", str(tmp_path)),
    }
    command = [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "uv", "-P", "pipeline=tiny"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("  cached  ") == 7
