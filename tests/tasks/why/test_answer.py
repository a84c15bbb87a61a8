"""From a spike to its rows: one row with a wrong label in a real small training, and the program finds it."""

import json
import shutil

import numpy as np
import pytest

from artifacts import atomic
from artifacts.runs import FAILED, FINISHED, Run
from artifacts.store import Store
from steps.step import load_step
from tests.spiked import BAD, dying_at, train
from training.errors import TrainingError
from training.torch.backend import TorchBackend

pretrain = load_step("pretrain")


def test_the_worst_spike_leads_to_the_bad_row(ask, made):
    code, out, err = ask()
    assert (code, err) == (0, "")
    told = json.loads(ask("--json")[1])
    worst = told["rows"][0]
    assert worst["text"].startswith(BAD)
    assert worst["label"] == "a"
    assert worst["loss"]["share"] > 0.5
    assert told["times"] > 3
    assert worst["id"] in {row["row"] for row in told["batch"]}
    assert f"update {told['update']} of finetune: loss " in out
    assert f"1. {worst['id']}: label a, loss " in out
    for text in (told["interval"]["trace_id"], told["interval"]["span_id"], "dropout off", "finished0000"):
        assert text in out
    assert told["interval"]["first"] <= told["update"] <= told["interval"]["last"] == told["interval"]["first"] + 9
    assert told["log"], "the lines around it, or on a slow machine the one before"
    assert "\x1b" not in out, "a log line may not command a terminal"
    assert "\\u202ecanyon cedar comet coral\\ncloud" in out, "nor a row"


def test_links_use_grafana_url_from_environment(ask, monkeypatch):
    assert set(json.loads(ask("--json")[1])["links"]) == {"trace_command"}
    assert "/api/traces/" in ask()[1]
    assert "glassformer-training" not in ask()[1], "no link to a Grafana that nobody configured"
    monkeypatch.setenv("GLASSFORMER_GRAFANA_URL", "https://grafana.example/")
    links = json.loads(ask("--json")[1])["links"]
    assert links["dashboard"].startswith("https://grafana.example/d/glassformer-training?var-run=finished")
    assert links["trace"].startswith("https://grafana.example/explore?")


def test_flame_graph_of_a_slow_interval_is_named(ask, made):
    told = json.loads(ask("--json")[1])
    assert "flame_graph" not in told["links"]
    first, last = told["interval"]["first"], told["interval"]["last"]
    folder = Store.default().root / "runs" / told["made_by"] / "profiles" / told["node"]
    folder.mkdir(parents=True)
    (folder / f"interval-{first}-{last}.svg").write_text("<svg/>")
    try:
        assert f"flames     {folder}/interval-{first}-{last}.svg" in ask()[1]
    finally:
        shutil.rmtree(folder.parent)


def test_update_node_and_metric_can_be_chosen(ask):
    told = json.loads(ask("--at", "17", "--run", "fin", "--node", "finetune", "--rows", "2", "--json")[1])
    assert (told["update"], len(told["rows"])) == (17, 2)
    assert (told["interval"]["first"], told["interval"]["last"]) == (11, 20)
    early = json.loads(ask("--at", "3", "--json")[1])
    assert (early["usual"], early["times"]) == (None, None)
    assert "too early to say" in ask("--at", "3")[1]
    assert "gradient norm" in ask("--metric", "gradient_norm")[1].splitlines()[0]
    assert " s, " in ask("--metric", "seconds")[1].splitlines()[0]


def test_cached_training_names_original_run(ask, made):
    home, _ = made
    original = next(run for run in (Run(**atomic.read_json(f)) for f in home.glob("runs/finished*/run.json")))
    cached = Run.start(home, "cached" + "0" * 26, "tiny", "")
    cached.nodes = {"finetune": original.nodes["finetune"] | {"state": "cached"}}
    cached.end(FINISHED)
    try:
        code, out, _ = ask()
        assert code == 0
        assert "taken from the cache: run finished0000 made it" in out
        assert "log lines around it (run finished0000)" in out
        assert BAD in out
        assert ask("--run", "finished")[1].splitlines()[0] == out.splitlines()[0]
    finally:
        shutil.rmtree(cached.folder)


def test_killed_training_is_explained_from_work_folder(ask, made, tmp_path):
    home, inputs = made
    other = tmp_path / "home"
    shutil.copytree(home, other)
    run = Run.start(other, "killed" + "0" * 26, "tiny", "")
    with pytest.raises(KeyboardInterrupt):
        train(other, run, "finetune", inputs, dies=dying_at(70), checkpoint_every=1)
    assert "(tiny), under way" in ask("--run", "killed", home=other)[1]
    run.end(FAILED)
    code, out, err = ask("--run", "killed", "--at", "70", home=other)
    assert (code, err) == (0, "")
    assert "not finished: it failed or was killed" in out
    assert "of the checkpoint after update 69, 0 updates from this one" in out
    told = json.loads(ask("--run", "killed", "--at", "70", "--json", home=other)[1])
    assert told["loss_again"] == pytest.approx(told["loss"], rel=1e-5), (
        "with no dropout it is the very loss of the update"
    )
    assert ask("--run", "killed", "--at", "71", home=other)[2].endswith("no such update; recorded: finetune 1 to 70\n")
    worst = json.loads(ask("--run", "killed", "--json", home=other)[1])
    assert worst["rows"][0]["text"].startswith(BAD)


@pytest.mark.parametrize("changes", [{}, {"packing": True}, {"packing": True, "task": "causal_lm"}])
def test_rows_are_recomputed_with_same_masks_and_parts(ask, made, tmp_path, changes):
    home, inputs = made
    other = tmp_path / "home"
    shutil.copytree(home, other)
    run = Run.start(other, "masked" + "0" * 26, "tiny", "")
    small = {"checkpoint_every": 1, "max_length": 16, **changes}
    with pytest.raises(KeyboardInterrupt):
        train(other, run, "pretrain", inputs, step=pretrain, dies=dying_at(30), **small)
    run.end(FAILED)
    told = json.loads(ask("--at", "30", "--rows", "99", "--json", home=other)[1])
    assert told["loss_again"] == pytest.approx(told["loss"], rel=1e-5)
    means = [row["loss"]["total"] / max(1, row["loss"]["targets"]) for row in told["rows"]]
    assert means == sorted(means, reverse=True)
    assert sum(row["loss"]["share"] for row in told["rows"]) == pytest.approx(1)
    assert sorted((row["id"], row["part"]) for row in told["rows"]) == sorted(
        (row["row"], row["part"]) for row in told["batch"]
    )
    later = [row for row in told["rows"] if row["part"]]
    assert later, "a row is longer than what the network reads at a time"
    beginnings = {row["id"]: row["text"] for row in told["rows"] if not row["part"]}
    assert all(row["text"] != beginnings.get(row["id"]) for row in later)


def test_non_finite_training_is_explained_by_its_last_update(ask, made, tmp_path, monkeypatch):
    home, inputs = made
    other = tmp_path / "home"
    shutil.copytree(home, other)
    plain = TorchBackend.update

    def poisoned(self, question, number, rate):
        if number == 24:
            weights = self.weights()
            weights["classifier.output.bias"] = np.full_like(weights["classifier.output.bias"], np.nan)
            self.load_weights(weights)
        return plain(self, question, number, rate)

    monkeypatch.setattr(TorchBackend, "update", poisoned)
    run = Run.start(other, "nan" + "0" * 29, "tiny", "")
    with pytest.raises(TrainingError, match="not finite at update 25"):
        train(other, run, "finetune", inputs)
    run.end(FAILED)
    code, out, err = ask(home=other)
    assert (code, err) == (0, "")
    assert out.startswith("update 25 of finetune: loss nan, which is not finite")
    assert "of the checkpoint after update 20, 4 updates from this one" in out
    told = json.loads(ask("--json", home=other)[1])
    assert (told["value"], told["times"]) == ("nan", "inf")
    assert told["interval"]["last"] == 25
    shutil.rmtree(next(other.glob("work/*/checkpoints")))
    code, out, err = ask(home=other)
    assert code == 1
    assert "no checkpoint yet" in err
    assert told["rows"][0]["id"] in out


def test_killed_training_finished_later_is_explained_from_artifact(ask, made, tmp_path):
    home, inputs = made
    other = tmp_path / "home"
    shutil.copytree(home, other)
    first = Run.start(other, "first" + "0" * 27, "tiny", "")
    with pytest.raises(KeyboardInterrupt):
        train(other, first, "finetune", inputs, dies=dying_at(30), seed=2)
    first.end(FAILED)
    second = Run.start(other, "second" + "0" * 26, "tiny", "")
    artifact = train(other, second, "finetune", inputs, seed=2)
    second.end(FINISHED)
    task = atomic.read_json(other / "runs" / first.id / "finetune.json")
    Store(other).keep(
        {
            "step": "finetune",
            "fingerprint": task["fingerprint"],
            "finished_at": "",
            "artifact": {"path": Store(other).path_of(artifact), "kind": artifact.kind, "digest": artifact.digest},
        }
    )
    code, out, _ = ask("--run", "first", "--at", "15", home=other)
    assert code == 0
    assert "run second" in out
    assert "log lines around it (run first0000000)" in out, "the first process made update 15"
    assert "log lines around it (run second000000)" in ask("--run", "first", "--at", "45", home=other)[1]
