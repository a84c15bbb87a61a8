"""Translation: scores are sacrebleu's own, of all rows and of any; the report says by which signature."""

import numpy as np
import pandas as pd
import pytest
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from artifacts import Output
from artifacts.corpus import Corpus
from artifacts.report import Report
from steps.step import load_step
from tasks.translation.task import TASK
from telemetry import Observe
from tests.small_corpus import make_tokenizer, train
from tests.small_pairs import make_pairs, pairs

evaluate = load_step("evaluate")

EXPECTED = ["The cat sat on the mat.", "It is raining today, is it not?", "Where is the station?", "Ok", "四月三日"]
WRITTEN = ["The cat is on the mat.", "It rains today.", "Where is the station?", "", "四月四日"]


@pytest.fixture
def statistics():
    return TASK.statistics(pd.DataFrame({"expected": EXPECTED}), pd.DataFrame({"prediction": WRITTEN}))


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [1], [2, 2, 0, 4], [3, 3]])
def test_scores_of_any_rows_match_sacrebleu(statistics, rows):
    """A bootstrap draws rows, and some more than once."""
    written, expected = [WRITTEN[i] for i in rows], [EXPECTED[i] for i in rows]
    found = TASK.metrics(statistics.iloc[rows])
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(written, [expected]).score, abs=1e-9)
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(written, [expected]).score, abs=1e-9)
    assert TASK.primary_metric in found


def test_row_scores_match_sentence_chrf(statistics):
    scores = TASK.row_scores(statistics)
    each = [CHRF().sentence_score(w, [e]).score for w, e in zip(WRITTEN, EXPECTED, strict=True)]
    np.testing.assert_allclose(scores, each)
    assert scores.argmin() == 3
    assert scores[2] == 100


def test_signatures_match_sacrebleu_format():
    found = TASK.signatures()
    assert found["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert found["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_beam_report_contains_scores_and_signatures(tmp_path):
    corpus = make_pairs(tmp_path, pairs(150))
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(tmp_path, corpus, vocab_size=290 + 10)}
    trained = train(tmp_path, "finetune", inputs, task="translation", from_scratch=True, max_updates=2, max_length=16)
    made = {**inputs, "checkpoint": trained}
    config = evaluate.Config(
        **{name: str(one.path) for name, one in made.items()},
        task="translation",
        bootstrap_samples=10,
        options={"method": "beam", "beams": 2},
    )
    output = Output("report", tmp_path / "work", step="evaluate", parents=made, root=tmp_path)
    evaluate.run(config, made, output, Observe.silent())
    report = output.commit()
    scores = Report(report).scores
    assert scores["signatures"] == TASK.signatures()
    assert set(scores["metrics"]) == {"chrf", "bleu"}
    assert list(scores["baselines"]) == ["the nearest training text's target", "the source itself"]
    page = report.sidecar("report.html").read_text()
    assert TASK.signatures()["chrf"] in page
    assert ">Labels</h2>" not in page, "these rows have none"
    table = pd.read_parquet(report.file("predictions.parquet"))
    assert scores["metrics"]["chrf"]["value"] == pytest.approx(
        CHRF().corpus_score(table["prediction"].tolist(), [table["expected"].tolist()]).score, abs=1e-6
    )
    questions = TASK.questions(Corpus(corpus), "test", {})
    assert table["expected"].tolist() == questions["expected"].tolist()
    assert torch.is_grad_enabled(), "searching leaves no global setting behind"
