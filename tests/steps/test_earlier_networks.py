"""Networks from before the transformer through the steps that know none of them: pretrained, tuned, judged, reported."""

import pytest

from artifacts import Output, open_artifact
from artifacts.report import Report
from steps.step import load_step
from telemetry import Observe
from tests.small_corpus import make_corpus, make_tokenizer, train

evaluate = load_step("evaluate")

NETWORKS = {
    "bilstm": {"d_model": 32, "d_embedding": 16, "initializer_std": 0.3},
    "textcnn": {"d_model": 48, "d_embedding": 16, "initializer_std": 0.2},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("earlier")
    corpus = make_corpus(root)
    return root, {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus)}


@pytest.mark.parametrize("preset", NETWORKS)
def test_earlier_preset_is_pretrained_finetuned_and_reported(preset, data, tmp_path):
    _, made = data
    chosen = {"preset": preset, **NETWORKS[preset]}
    pretrained = train(tmp_path, "pretrain", made, **chosen)
    tuned = train(
        tmp_path, "finetune", {**made, "checkpoint": pretrained}, max_updates=60, learning_rate=0.01, evaluate_every=30
    )
    config = evaluate.Config(
        **{name: str(one.path) for name, one in {**made, "checkpoint": tuned}.items()}, bootstrap_samples=20
    )
    output = Output("report", tmp_path / "work", step="evaluate", parents={**made, "checkpoint": tuned}, root=tmp_path)
    evaluate.run(config, {**made, "checkpoint": tuned}, output, Observe.silent())
    report = open_artifact(output.commit().path)
    assert Report(report).scores["metrics"]["accuracy"]["value"] > 0.9
    assert "it has no attention that could be shown" in report.sidecar("report.html").read_text(encoding="utf-8")
