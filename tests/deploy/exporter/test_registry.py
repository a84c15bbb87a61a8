"""The exporter reads MLflow a bounded piece at a time and finds all of it; series stay few."""

import pytest

from deploy.exporter import registry
from deploy.exporter.registry import Registry


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    return MlflowClient(uri, uri)


@pytest.fixture
def run(client):
    def make(state="FINISHED"):
        made = client.create_run("0").info.run_id
        if state != "RUNNING":
            client.set_terminated(made, state)
        return made

    return make


def test_each_run_is_counted_once_in_the_state_it_ended_in(client, run, monkeypatch):
    monkeypatch.setattr(registry, "_PAGE", 2)
    monkeypatch.setattr(registry, "_MOST_PAGES", 1)
    open_one = run("RUNNING")
    for state in ("FINISHED", "FAILED", "KILLED", "FINISHED", "FINISHED"):
        run(state)
    found = Registry()
    for _ in range(8):  # two runs a collection: what is left comes with the next
        found.collect(client)
    assert found.states == {"RUNNING": 1, "SCHEDULED": 0, "FINISHED": 3, "FAILED": 1, "KILLED": 1}
    assert found.running_since == pytest.approx(client.get_run(open_one).info.start_time / 1000)
    client.set_terminated(open_one, "KILLED")
    run()
    found.collect(client)
    found.collect(client)
    assert found.states == {"RUNNING": 0, "SCHEDULED": 0, "FINISHED": 4, "FAILED": 1, "KILLED": 2}
    assert found.running_since == 0


def test_versions_are_bounded_the_one_with_an_alias_is_kept(client, run, monkeypatch):
    monkeypatch.setattr(registry, "NEWEST", 2)
    client.create_registered_model("m")
    for number in range(1, 6):
        tags = {
            "glassformer.metric": "macro_f1",
            "glassformer.score": f"0.{number}",
            "glassformer.baselines": '{"majority": 0.1}',
        }
        client.create_model_version("m", "x", run_id=run(), tags=tags)
    client.set_registered_model_alias("m", "champion", "1")
    found = Registry()
    found.collect(client)
    assert found.counts == {"m": 5}
    assert [(one.number, one.score) for one in found.versions] == [("5", 0.5), ("4", 0.4), ("1", 0.1)]
    assert found.versions[0].baselines == {"majority": 0.1}
    assert found.aliases[("m", "champion")][0] == "1"
    since = found.aliases[("m", "champion")][1]
    found.collect(client)
    assert found.aliases[("m", "champion")] == ("1", since), "an alias that stays keeps its time"
    client.set_registered_model_alias("m", "champion", "5")
    found.collect(client)
    assert found.aliases[("m", "champion")][0] == "5"
    assert found.aliases[("m", "champion")][1] > since


def test_a_score_that_is_no_number_is_left_out(client, run):
    client.create_registered_model("odd")
    client.create_model_version(
        "odd", "x", run_id=run(), tags={"glassformer.score": "good", "glassformer.baselines": "[1]"}
    )
    found = Registry()
    found.collect(client)
    assert [(one.score, one.baselines) for one in found.versions if one.model == "odd"] == [(None, {})]
