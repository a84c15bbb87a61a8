"""The pipeline `history`: its budgets are equal, and its small twin runs from the rows to one report of all models."""

import json

import pytest

from artifacts import open_artifact
from artifacts.report import Report
from benchmarks.calibrate import Measured, Model, budget_of, models_of, round_to_two_digits, updates
from pipelines import graph
from tests.finished import finished_run

NAMES = ["bilstm", "textcnn", "bert, from masked LM", "roberta, from masked LM", "electra, from electra", "transformer"]


@pytest.fixture(scope="module")
def history():
    return graph.load("history")[0]


def test_every_model_but_reference_has_both_budgets(history):
    models = {model.name: model.trainings for model in models_of(history)}
    assert models.pop("modern") == ("pretrain_modern", "modern")
    assert {name for name in models if name.endswith("_seconds")} == {
        f"{name}_seconds" for name in models if not name.endswith("_seconds")
    }
    rivals = [feeder for name, feeder in history.nodes["evaluate"].inputs.items() if name.startswith("rivals.")]
    assert set(rivals) == set(models)


def test_budgets_differ_only_in_max_updates(history):
    for name, node in history.nodes.items():
        if name.endswith("_seconds"):
            other = history.nodes[name.removesuffix("_seconds")]
            different = {
                key for key in node.checked_config() if node.checked_config()[key] != other.checked_config()[key]
            }
            assert different <= {"max_updates"}
    trained = [node for node in history.nodes.values() if node.step in ("pretrain", "finetune")]
    assert {node.checked_config()["patience"] for node in trained} == {0}, "none stops before its budget is spent"


def test_budget_is_converted_to_updates():
    """By hand: the reference sees 60 s / 0.1 s x 1000 tokens in pretraining, 20 s / 0.2 s x 2000 in fine-tuning."""
    measured = {"pre": Measured(0.1, 1000), "modern": Measured(0.2, 2000), "cnn": Measured(0.02, 2000)}
    models = [Model("cnn", ("cnn",)), Model("modern", ("pre", "modern"))]
    budget = budget_of(models, measured, "modern", (60, 20))
    assert budget == [{"seconds": 60, "tokens": 600_000}, {"seconds": 20, "tokens": 200_000}]
    assert updates(models[0], measured, budget, "tokens") == [400]
    assert updates(models[0], measured, budget, "seconds") == [4000]
    assert (
        updates(models[1], measured, budget, "tokens") == updates(models[1], measured, budget, "seconds") == [600, 100]
    )
    assert [round_to_two_digits(count) for count in (1234.5, 0.2, 99.6)] == [1200, 1, 100]
    with pytest.raises(SystemExit, match="--reference cnn: has no pretraining"):
        budget_of(models, measured, "cnn", (60, 20))


@pytest.mark.slow
def test_all_models_run_and_appear_in_one_report(tmp_path):
    home = finished_run("tiny").cache(tmp_path, ("prepare_data", "train_tokenizer"))
    output = home.run("run", "tests/pipelines/tiny_history.yaml")
    assert output.count("  cached  ") == 2
    assert "glassformer-tiny-history version 1" in output
    assert "Traceback" not in output
    assert {entry["state"] for entry in home.plan("tests/pipelines/tiny_history.yaml").values()} == {"HIT"}
    (folder,) = (tmp_path / "var" / "artifacts" / "report").iterdir()
    report = Report(open_artifact(folder))
    for name in NAMES:
        assert any(told.startswith(name) for told in report.baselines), (name, list(report.baselines))
    page = report.artifact.sidecar("report.html").read_text()
    for heading in ("Models", "Learning curves", "Learning curves, training", "Learning curves, pretraining"):
        assert f">{heading}</h2>" in page, heading
    parents = report.artifact.manifest["parents"]
    assert [name for name in parents if name.startswith("rivals.")] == [f"rivals.{number}" for number in range(7)]
    checkpoints = (tmp_path / "var" / "artifacts" / "checkpoint").iterdir()
    made = [json.loads((folder / "manifest.json").read_text()) for folder in checkpoints]
    assert sum("teacher" in manifest["parents"] for manifest in made) == 1
