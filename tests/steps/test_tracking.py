"""The store that the first start makes."""

import os
import sqlite3

import pytest

from artifacts.errors import UserError
from steps import tracking
from telemetry import Observe
from telemetry.links import Links
from tests.mlflow_home import first_store, own_store


def test_interrupted_store_creation_leaves_no_database(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(utils, "_initialize_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            first_store(tmp_path, monkeypatch)
    assert list(tmp_path.glob("*.db")) == []
    client = first_store(tmp_path, monkeypatch)
    assert client.get_experiment("0").artifact_location.endswith("mlruns/0")
    assert sqlite3.connect(tmp_path / "mlflow.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".mlflow")]


def test_artifact_location_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path / "elsewhere"))
    assert first_store(tmp_path, monkeypatch).get_experiment("0").artifact_location == f"{tmp_path}/elsewhere/0"


def test_concurrent_start_uses_the_existing_store(tmp_path, monkeypatch):
    link = os.link

    def raced(made, path):
        link(made, path)
        link(made, path)

    monkeypatch.setattr(os, "link", raced)
    assert first_store(tmp_path, monkeypatch).create_run("0").info.status == "RUNNING"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield own_store(tmp_path_factory.mktemp("experiments"), patch)


def test_pipeline_has_an_experiment_of_its_own_unless_one_is_configured(store, monkeypatch):
    number = tracking.experiment(store, "docs")
    made = store.get_experiment(number)
    assert made.name == "glassformer-docs"
    assert made.tags["mlflow.experimentKind"] == "custom_model_development"
    assert tracking.experiment(store, "docs") == number, "made once"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    assert tracking.experiment(store, "docs") == "0"


def test_new_runs_use_the_configured_experiment(store, monkeypatch):
    assert tracking.experiment(store) == "0"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    number = tracking.experiment(store)
    assert store.get_experiment(number).name == "mine"
    assert tracking.experiment(store) == number, "made once"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)
    assert tracking.experiment(store) == number
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    assert tracking.experiment(store) == number


def test_concurrent_first_run_uses_the_existing_experiment(store, monkeypatch):
    look = store.get_experiment_by_name
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "raced")
    made = store.create_experiment("raced")
    answers = iter([lambda name: None, look])
    monkeypatch.setattr(store, "get_experiment_by_name", lambda name: next(answers)(name))
    assert tracking.experiment(store) == made


def test_unusable_experiment_error_explains_the_remedy(store, monkeypatch):
    gone = store.create_experiment("gone")
    store.delete_experiment(gone)
    for name, value in (("MLFLOW_EXPERIMENT_NAME", "gone"), ("MLFLOW_EXPERIMENT_ID", gone)):
        with monkeypatch.context() as named:
            named.setenv(name, value)
            with pytest.raises(UserError, match=f"'gone' is deleted; `mlflow experiments restore -x {gone}`"):
                tracking.experiment(store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "987654")
    with pytest.raises(UserError, match="no such experiment"):
        tracking.experiment(store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    with pytest.raises(UserError, match="set one of them"):
        tracking.experiment(store)


def test_deleted_default_experiment_fails_unless_another_is_configured(tmp_path, monkeypatch):
    client = first_store(tmp_path, monkeypatch)
    client.delete_experiment("0")
    with pytest.raises(UserError, match="'Default' is deleted"):
        tracking.experiment(tracking.connect())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert tracking.connect().create_run(tracking.experiment(client)).info.experiment_id != "0"


def test_manually_started_step_uses_the_configured_experiment(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by hand")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    links = Links.of(tmp_path / "outbox")
    with tracking.by_hand("prepare_data", {"seed": 1}, tmp_path / "x.metrics.jsonl", links, Observe.silent()):
        run = store.get_run(os.environ["MLFLOW_RUN_ID"])
    assert "MLFLOW_RUN_ID" not in os.environ
    assert store.get_experiment(run.info.experiment_id).name == "by hand"
    assert store.get_run(run.info.run_id).info.status == "FINISHED"
