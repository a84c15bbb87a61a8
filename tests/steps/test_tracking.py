"""The store that the first start makes."""

import os
import sqlite3

import pytest

from tests.mlflow_home import own_store


def test_a_start_that_is_killed_while_it_makes_the_store_leaves_none(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(utils, "_initialize_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            own_store(tmp_path, monkeypatch)
    assert list(tmp_path.glob("*.db")) == []
    client = own_store(tmp_path, monkeypatch)
    assert client.get_experiment("0").artifact_location.endswith("mlruns/0")
    assert sqlite3.connect(tmp_path / "mlflow.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".mlflow")]


def test_who_comes_second_takes_the_store_that_is_there(tmp_path, monkeypatch):
    link = os.link

    def raced(made, path):
        link(made, path)
        link(made, path)

    monkeypatch.setattr(os, "link", raced)
    assert own_store(tmp_path, monkeypatch).create_run("0").info.status == "RUNNING"
