"""Registration in a store of its own: what a version carries, that it happens once, and that the model answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

import tests.small_corpus as small
from artifacts import Output, atomic, open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.errors import TemporaryError
from artifacts.report import Report
from steps.register import model_version
from steps.step import load_step
from tasks import load
from tasks.classification.task import TASK
from tasks.model import load_model
from telemetry import Observe
from tests.mlflow_home import own_store

evaluate = load_step("evaluate")
register = load_step("register")

SECRET = "canary-7d21b4c9ee"
ASK = """
import json, sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(pd.DataFrame({"text": json.loads(sys.argv[2])}), json.loads(sys.argv[3]))
example = model.predict(model.input_example)
import artifacts, models, tasks, telemetry, training
files = [module.__file__ for module in (artifacts, models, tasks, telemetry, training)]
print(json.dumps({"answers": answers.to_dict("list"), "example": len(example), "files": files}))
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("register")
    corpus = small.make_corpus(root, license=f"MIT, see https://user:{SECRET}@example.invalid/terms")
    made = {"corpus": corpus, "tokenizer": small.make_tokenizer(root, corpus)}
    tuned = small.train(root, "finetune", made, from_scratch=True, max_updates=40, learning_rate=0.01)
    asked = {**made, "checkpoint": tuned}
    config = evaluate.Config(**{name: str(a.path) for name, a in asked.items()}, bootstrap_samples=20)
    output = Output("report", root / "work-report", step="evaluate", parents=asked, root=root)
    evaluate.run(config, asked, output, Observe.silent())
    return {"checkpoint": tuned, "report": output.commit()}


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """A language model with its report."""
    root = tmp_path_factory.mktemp("language")
    corpus = small.make_corpus(root, rows=120)
    made = {"corpus": corpus, "tokenizer": small.make_tokenizer(root, corpus)}
    asked = {**made, "checkpoint": small.train(root, "pretrain", made, task="causal_lm")}
    paths = {name: str(artifact.path) for name, artifact in asked.items()}
    output = Output("report", root / "work-report", step="evaluate", parents=asked, root=root)
    config = evaluate.Config(**paths, task="causal_lm", options={"max_new_tokens": 4}, bootstrap_samples=0)
    evaluate.run(config, asked, output, Observe.silent())
    return {"checkpoint": asked["checkpoint"], "report": output.commit()}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield own_store(tmp_path_factory.mktemp("mlflow"), patch)


@pytest.fixture
def client(store, monkeypatch):
    """A client of the file's store, in a run of the test's own."""
    monkeypatch.setenv("MLFLOW_RUN_ID", store.create_run("0").info.run_id)
    return store


def registered(root, inputs):
    """Run the step, under a name of the test's own; the artifact it made."""
    config = register.Config(**{name: str(made.path) for name, made in inputs.items()}, name=root.name)
    output = Output("model_version", root / "work", step="register", parents=inputs, root=root)
    register.run(config, inputs, output, Observe.silent())
    return open_artifact(output.commit().path)


def test_registered_version_has_metadata_and_predicts_raw_text(tmp_path, inputs, client):
    made = registered(tmp_path, inputs)
    version = client.get_model_version_by_alias(tmp_path.name, "challenger")
    score = Report(inputs["report"]).primary[1]

    told = atomic.read_json(made.file("version.json"))
    assert told == {"name": tmp_path.name, "checkpoint": inputs["checkpoint"].digest, "report": inputs["report"].digest,
                    "task": "classification", "primary_metric": "macro_f1", "score": score}  # fmt: skip
    beside = atomic.read_json(made.sidecar("registered.json"))
    assert (beside["version"], beside["uri"], beside["alias"]) == (1, f"models:/{tmp_path.name}/1", "challenger")

    lineage = {entry["kind"]: entry["digest"] for entry in inputs["checkpoint"].lineage}
    assert {kind: version.tags[f"glassformer.{kind}"] for kind in lineage} == lineage
    assert version.tags["glassformer.report"] == inputs["report"].digest
    assert float(version.tags["glassformer.score"]) == score
    assert version.tags["glassformer.metric"] == "macro_f1"

    run = client.get_run(os.environ["MLFLOW_RUN_ID"])
    assert run.info.status == "RUNNING", "who made the run ends it"
    assert run.data.metrics["test.macro_f1"] == score
    assert sorted((data.tags[0].value, data.dataset.name) for data in run.inputs.dataset_inputs) == [
        ("evaluation", "corpus-test"),
        ("training", "corpus-train"),
        ("validation", "corpus-validation"),
    ]
    assert {data.dataset.digest for data in run.inputs.dataset_inputs} == {lineage["corpus"][:36]}
    assert "model_card.md" in {file.path for file in client.list_artifacts(run.info.run_id)}

    kept = [path for path in Path.cwd().rglob("*") if path.is_file()]
    assert "model.py" in {path.name for path in kept}, "this is where MLflow keeps it"
    assert not [path for path in kept if path.suffix in (".pkl", ".pickle", ".pt", ".bin")]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()], "credentials stay out"

    texts = ["apple orchard the of and", "", "river boat bridge \N{SNOWMAN}\x00\n", "cloud copper " * 500, None]
    answered = ask(f"models:/{tmp_path.name}@challenger", texts, tmp_path)
    own = TASK.predict(load_model(Checkpoint(inputs["checkpoint"])), [text or "" for text in texts])
    assert answered["answers"]["prediction"] == own["prediction"].tolist()
    assert answered["answers"]["probability"] == pytest.approx(own["probability"].tolist(), abs=1e-5)
    assert answered["example"] == 2
    assert [file for file in answered["files"] if f"{os.sep}code{os.sep}" not in file] == []


def test_registered_model_accepts_decoding_options_per_request(tmp_path, language, client):
    registered(tmp_path, language)
    texts, params = (
        ["apple of the", ""],
        {"method": "sample", "temperature": 2.0, "seed": 5, "max_new_tokens": 7, "n_best": 2},
    )
    told = ask(f"models:/{tmp_path.name}@challenger", texts, tmp_path, params)
    answered = told["answers"]
    assert told["example"] == 2, "and without any of it"
    own = load_model(Checkpoint(language["checkpoint"]))
    wanted = load(own.task).predict(own, texts, **params)
    assert answered["prediction"] == wanted["prediction"].tolist()
    assert answered["prediction_2"] == wanted["prediction_2"].tolist()
    version = client.get_model_version_by_alias(tmp_path.name, "challenger")
    assert version.tags["glassformer.metric"] == "bits_per_byte"
    assert version.tags["glassformer.higher_is_better"] == "false"


def ask(uri, texts, folder, params=None):
    """Load the model as a stranger would: another process, elsewhere, without this checkout, pickle forbidden."""
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-W", "ignore", "-c", ASK, uri, json.dumps(texts), json.dumps(params)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_model_card_holds_score_data_and_lineage(inputs):
    config = register.Config(checkpoint="c", report="r", name="texts")
    card = model_version.model_card(config, inputs["checkpoint"], Report(inputs["report"]))
    for told in ("# texts", "| this model |", "| majority class |", "| TF-IDF + logistic regression |", "Licence: MIT",
                 "rows of the test split", inputs["checkpoint"].digest, "Duplicates across splits: 0"):  # fmt: skip
        assert told in card, told
    assert SECRET not in card


def test_long_model_card_is_shortened_to_fit_the_description():
    """MLflow's databases hold 5,000 characters of it; SQLite would take more, PostgreSQL refuses."""
    assert model_version.description_of("short") == "short"
    cut = model_version.description_of("one line\n" * 1000)
    assert len(cut) < 5000
    assert cut.endswith("one line\n\nThe whole card is `model_card.md` of the run.")


@pytest.mark.parametrize("broken", ["create_model_version", "set_registered_model_alias"])
def test_rerun_after_interruption_registers_one_version(tmp_path, inputs, client, monkeypatch, broken):
    """Before the version is there it is made by the rerun; after, the rerun finds it by its tags."""
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, broken, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registered(tmp_path, inputs)
    digest = registered(tmp_path, inputs).digest
    assert [version.version for version in client.search_model_versions(f"name='{tmp_path.name}'")] == [1]
    assert client.get_model_version_by_alias(tmp_path.name, "challenger").version == 1
    assert registered(tmp_path, inputs).digest == digest, "a third time: the same, and nothing new"
    assert len(client.search_model_versions(f"name='{tmp_path.name}'")) == 1


def test_different_report_creates_a_new_version(tmp_path, inputs, client):
    registered(tmp_path, inputs)
    client.set_model_version_tag(tmp_path.name, "1", "glassformer.report", "of another report")
    registered(tmp_path, inputs)
    assert client.get_model_version_by_alias(tmp_path.name, "challenger").version == 2


def test_locked_database_raises_temporary_error(tmp_path, inputs, client, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def locked(*_, **__):
        raise OperationalError("insert", {}, Exception("database is locked"))

    monkeypatch.setattr(MlflowClient, "create_model_version", locked)
    with pytest.raises(TemporaryError, match="database is locked"):
        registered(tmp_path, inputs)
    assert client.get_run(os.environ["MLFLOW_RUN_ID"]).info.status in ("RUNNING", "FAILED")
