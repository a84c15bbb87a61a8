"""The exporter reads the registry a bounded part at a time; series stay few, and what tags say cannot break a page."""

import json
import time

import pytest

from deploy.exporter import registry
from deploy.exporter.collector import Exporter
from deploy.exporter.registry import Registry
from steps.promote.history import PROMOTE, ROLLBACK, Decision, History


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


def test_version_limit_keeps_the_newest_and_the_aliased_version(client, run, monkeypatch):
    monkeypatch.setattr(registry, "NEWEST", 2)
    client.create_registered_model("m")
    for number in range(1, 6):
        tags = {
            "glassformer.metric": "macro_f1",
            "glassformer.score": f"0.{number}",
            "glassformer.baselines": '{"majority": 0.1}',
            "glassformer.higher_is_better": "true",
            "glassformer.unit": "1",
        }
        client.create_model_version("m", "x", run_id=run(), tags=tags)
    client.set_registered_model_alias("m", "champion", "1")
    client.create_registered_model("m.history", {"glassformer.history_of": "m"})
    client.create_model_version("m.history", "x")
    found = Registry()
    found.read(client)
    assert found.counts == {"m": 5}
    assert [(one.number, one.score) for one in found.versions] == [("5", 0.5), ("4", 0.4), ("1", 0.1)]
    assert found.versions[0].baselines == {"majority": 0.1}
    assert (found.versions[0].metric, found.versions[0].better, found.versions[0].unit) == ("macro_f1", "higher", "1")
    assert found.aliases[("m", "champion")][0] == "1"
    since = found.aliases[("m", "champion")][1]
    found.read(client)
    assert found.aliases[("m", "champion")] == ("1", since), "an alias that stays keeps its time"
    assert since == 0, "no decision made it the champion, and nobody saw it move"
    client.set_registered_model_alias("m", "champion", "5")
    found.read(client)
    assert found.aliases[("m", "champion")][0] == "5"
    assert found.aliases[("m", "champion")][1] > since


def test_champion_time_is_that_of_the_decision_and_stays_with_later_registrations(client, run, tmp_path):
    client.create_registered_model("gated")
    for _ in range(3):
        client.create_model_version("gated", "x", run_id=run())
    history = History(client, "gated")
    decided = [
        history.decide(Decision(kind, "champion", before, to, "why", "me"))
        for kind, before, to in ((PROMOTE, "", "1"), (PROMOTE, "1", "2"), (PROMOTE, "1", "3"), (ROLLBACK, "2", "1"))
    ]
    assert [one.holds for one in decided] == [True, True, False, True], "the third lost a race"
    held = next(one for one in reversed(history.decisions()) if one.holds)
    time.sleep(0.01)
    client.create_model_version("gated", "x", run_id=run())
    exporter = Exporter(tmp_path, lambda: client)
    exporter.update()
    line = 'glassformer_alias_changed_timestamp_seconds{alias="champion",model="gated"} '
    assert [float(one.removeprefix(line)) for one in exporter.page().decode().splitlines() if one.startswith(line)] == [
        pytest.approx(held.at, abs=1e-3)
    ]
    later = history.decide(Decision(PROMOTE, "champion", "1", "3", "why", "me"))
    exporter.update()
    assert exporter._registry.aliases[("gated", "champion")] == ("3", pytest.approx(later.at, abs=1e-3))


def test_invalid_score_and_baselines_are_left_out(client, run):
    client.create_registered_model("odd")
    client.create_model_version(
        "odd", "x", run_id=run(), tags={"glassformer.score": "good", "glassformer.baselines": "[1]"}
    )
    found = Registry()
    found.read(client)
    assert [(one.score, one.baselines) for one in found.versions if one.model == "odd"] == [(None, {})]


def test_unchanged_models_are_not_read_again_and_changed_ones_go_first(client, run, monkeypatch):
    monkeypatch.setattr(registry, "_AT_ONCE", 1)
    for name in ("p1", "p2", "p3"):
        client.create_registered_model(name)
        client.create_model_version(name, "x", run_id=run())
    asked = []
    real = registry._versions
    monkeypatch.setattr(
        registry, "_versions", lambda c, model, newest: asked.append(model.name) or real(c, model, newest)
    )
    found = Registry()
    for _ in range(20):
        found.read(client)
    assert len(asked) == len(set(asked)), "each once, one a collection"
    assert {"p1", "p2", "p3"} <= set(asked)
    client.create_model_version("p2", "x", run_id=run())
    client.set_registered_model_alias("p3", "champion", "1")
    asked.clear()
    for _ in range(5):
        found.read(client)
    assert sorted(asked) == ["p2", "p3"]
    assert found.counts["p2"] == 2
    monkeypatch.setattr(registry, "_AGAIN", -1.0)
    client.set_model_version_tag("p1", "1", "glassformer.score", "0.7")
    for _ in range(20):
        found.read(client)
    assert [one.score for one in found.versions if one.model == "p1"] == [0.7], "a tag is noticed in time"
    client.delete_registered_model("p1")
    found.read(client)
    assert "p1" not in found.counts


def test_registry_over_the_model_limit_is_marked_incomplete(client, monkeypatch):
    monkeypatch.setattr(registry, "MODELS", 1)
    for name in ("q1", "q2"):
        client.create_registered_model(name)
    found = Registry()
    found.read(client)
    assert not found.complete
    assert len(found.counts) == 1


def test_tags_cannot_break_the_metrics_page_or_create_many_series(client, run, tmp_path):
    odd = {f"baseline {n} {'x' * 500}": n for n in range(50)} | {"\ud800": 1}
    client.create_registered_model("it's odd")
    client.create_model_version("it's odd", "x", run_id=run(), tags={
        "glassformer.score": "0.5", "glassformer.metric": 'a"\n' + "m" * 500, "glassformer.baselines": json.dumps(odd)[:4900]})  # fmt: skip
    client.create_model_version("it's odd", "x", run_id=run(), tags={
        "glassformer.score": "0.5", "glassformer.baselines": json.dumps({"\ud800" * 3: 1} | {str(n): n for n in range(50)})})  # fmt: skip
    client.create_model_version(
        "it's odd", "x", run_id=run(), tags={"glassformer.baselines": '{"a": ' + "9" * 400 + "}"}
    )
    exporter = Exporter(tmp_path, lambda: client)
    for _ in range(3):
        exporter.update()
    lines = [line for line in exporter.page().decode().splitlines() if "it's odd" in line]
    assert sum("baseline_score" in line for line in lines) == registry._FEW
    assert max(map(len, lines)) < 300
