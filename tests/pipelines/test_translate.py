"""The user's own pairs: `translate` as its description says, with tiny numbers, from a file of pairs to a version."""

import csv

import pytest

from artifacts.errors import UserError
from pipelines import graph
from steps.step import load_step
from tests.pipeline_home import Home
from tests.small_pairs import pairs

TINY = (
    "train_tokenizer.vocab_size=300", "train_tokenizer.kind=unigram", "train.d_model=16", "train.d_ff=32", "train.num_layers=1",
    "train.max_length=16", "train.max_updates=4", "evaluate.bootstrap_samples=10", "prepare_data.near_duplicate_threshold=1",
)  # fmt: skip


@pytest.mark.slow
def test_translate_pipeline_registers_version_scored_by_chrf(tmp_path):
    with (tmp_path / "own.tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([["en", "de"], *([row["source"], row["target"]] for row in pairs(300))])
    given = (f"prepare_data.source={tmp_path}/own.tsv", "prepare_data.text_column=en", "prepare_data.target_column=de")
    home = Home(tmp_path / "home")
    output = home.run("run", "translate", *(part for setting in (*given, *TINY) for part in ("--set", setting)))
    assert "score     chrf" in output
    assert "glassformer-own version 1 (challenger)" in output
    (page,) = home.state.glob("artifacts/report/*/sidecars/report.html")
    assert "nrefs:1|case:mixed|eff:yes|nc:6" in page.read_text()


def test_missing_source_is_reported_before_running(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (pipeline,) = graph.load("translate")
    with pytest.raises(UserError, match=r"source 'pairs\.tsv': no such file"):
        load_step("prepare_data").files(pipeline.nodes["prepare_data"].config_with({}))
