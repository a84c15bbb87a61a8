"""The report: scores that can be worked out, and a page that a browser opens without complaint and without a network."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from artifacts import Output, atomic, open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.errors import UserError
from artifacts.report import Report
from steps.evaluate import model_blocks
from steps.evaluate.scores import compare
from steps.step import load_step
from tasks.classification.task import TASK
from telemetry import Observe
from tests.browsers import FLAGS, chromium
from tests.small_corpus import make_corpus, make_tokenizer, train

evaluate = load_step("evaluate")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    corpus = make_corpus(root)
    made = {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus)}
    pretrained = train(root, "pretrain", made)
    options = {"max_updates": 60, "learning_rate": 0.01, "evaluate_every": 30}
    tuned = train(root, "finetune", {**made, "checkpoint": pretrained}, **options)
    scratch = train(root / "scratch", "finetune", {**made, "checkpoint": pretrained}, from_scratch=True, **options)
    return {**made, "checkpoint": tuned, "scratch": scratch}


def report_of(root, inputs, **options):
    given = {name: str(made.path) for name, made in inputs.items()}
    config = evaluate.Config.with_inputs(given, bootstrap_samples=50, **options)
    output = Output("report", root / "work", step="evaluate", parents=inputs, root=root)
    evaluate.run(config, inputs, output, Observe.silent())
    return open_artifact(output.commit().path)


@pytest.fixture(scope="module")
def report(tmp_path_factory, inputs):
    return report_of(tmp_path_factory.mktemp("report"), inputs)


def test_report_scores_three_baselines_on_the_same_rows(report):
    scores = Report(report).scores
    assert list(scores["baselines"]) == sorted(
        ["majority class", "TF-IDF + logistic regression", "the same network without pretraining"]
    )
    table = pd.read_parquet(report.file("predictions.parquet"))
    assert len(table) == scores["rows"] == report.counts["rows"]
    own = TASK.metrics(table)["macro_f1"]
    assert scores["metrics"]["macro_f1"]["value"] == pytest.approx(own, abs=1e-6)
    for name, found in scores["baselines"].items():
        value = TASK.metrics(table.assign(prediction=table[name]))["macro_f1"]
        assert found["macro_f1"]["value"] == pytest.approx(value, abs=1e-6)
        assert found["macro_f1"]["ahead"]["value"] == pytest.approx(own - value, abs=2e-6)
        assert found["macro_f1"]["low"] <= found["macro_f1"]["value"] <= found["macro_f1"]["high"]


def test_report_digest_is_reproducible_and_excludes_the_page(tmp_path, inputs, report):
    pretrained = next(entry for entry in inputs["checkpoint"].lineage if entry["step"] == "pretrain")
    spent = tmp_path / "artifacts" / "checkpoint" / f"{pretrained['digest'][:16]}-1" / "sidecars"
    spent.mkdir(parents=True)
    (spent / "cost.json").write_text('{"seconds": 1234.5, "cpu_seconds": 2345.6, "peak_bytes": 3456000000}')
    again = report_of(tmp_path, inputs)
    assert again.digest == report.digest
    page = again.sidecar("report.html").read_text()
    assert "<td>1,234.5</td><td>2,345.6</td><td>3,456</td>" in page, "what the ancestors cost, where the store has it"
    assert "report.html" not in report.files()
    assert report.sidecar("report.html").exists()


@pytest.fixture(scope="module")
def compared(tmp_path_factory, inputs):
    """The model beside two rivals."""
    made = {name: inputs[name] for name in ("corpus", "tokenizer", "checkpoint")}
    rivals = {"rivals.0": inputs["scratch"], "rivals.1": inputs["checkpoint"]}
    return report_of(tmp_path_factory.mktemp("compared"), {**made, **rivals})


def test_rivals_are_scored_alike_and_get_descriptive_names(compared, report, inputs):
    scores, alone = Report(compared).scores, Report(report).scores
    tokens = model_blocks.tokens_of(Checkpoint(inputs["checkpoint"])) / 1e6
    again = f"transformer, from masked LM, {tokens:.3g} M tokens (2)"
    assert set(scores["baselines"]) == {"majority class", "TF-IDF + logistic regression", "transformer", again}
    assert scores["metrics"] == alone["metrics"]
    assert scores["baselines"]["transformer"] == alone["baselines"]["the same network without pretraining"]
    assert scores["baselines"][again]["macro_f1"]["ahead"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert compared.manifest["parents"]["rivals.0"] == {"kind": "checkpoint", "digest": inputs["scratch"].digest}


def test_all_models_are_in_one_table_and_one_figure(compared):
    page = compared.sidecar("report.html").read_text()
    for heading in ("Models", "Learning curves", "Learning curves, training", "Learning curves, pretraining"):
        assert f">{heading}</h2>" in page, heading
    figure = page.partition('aria-label="Learning curves. ')[2].partition('"')[0]
    assert [told.partition(":")[0][:11] for told in figure.split("; ")] == ["transformer"] * 3
    assert "checkpoint, before this model" in page


def test_bootstrap_interval_matches_the_binomial_interval():
    """Accuracy of a coin: the interval is that of the binomial distribution, within what 1,000 samples allow."""
    right = np.array(["a"] * 70 + ["b"] * 30)
    questions = pd.DataFrame({"expected": ["a"] * 100})
    answers = {"x": pd.DataFrame({"prediction": right}), "y": pd.DataFrame({"prediction": right})}
    found = compare(TASK, questions, answers, 1000, 1, Observe.silent())
    interval = found["x"]["accuracy"]
    assert interval["value"] == 0.7
    assert abs(interval["low"] - 0.61) < 0.02
    assert abs(interval["high"] - 0.79) < 0.02
    assert found["y"]["accuracy"]["ahead"] == {"value": 0.0, "low": 0.0, "high": 0.0}, "paired: the same rows for all"


def test_a_checkpoint_of_another_task_is_refused(tmp_path, inputs):
    with pytest.raises(UserError, match="trained for classification, not for masked_lm; set task=classification"):
        report_of(tmp_path, inputs, task="masked_lm")


def test_pretrained_checkpoint_can_be_evaluated_as_masked_lm(tmp_path, inputs):
    made = {name: inputs[name] for name in ("corpus", "tokenizer")}
    pretrained = train(tmp_path, "pretrain", made)
    report = Report(report_of(tmp_path, {**made, "checkpoint": pretrained}, task="masked_lm"))
    assert report.primary[0] == "accuracy"
    assert list(report.scores["baselines"]) == ["the most frequent word"]


def test_page_has_all_sections_and_no_scripts(report):
    page = report.sidecar("report.html").read_text()
    for heading in ("Score", "Pretraining loss", "Training loss", "Classes", "Confusion", "Calibration", "Lengths",
                    "Worst errors", "Attention", "Data", "Leak check", "Lineage", "Cost"):  # fmt: skip
        assert f">{heading}</h2>" in page, heading
        assert f'href="#{heading.lower().replace(" ", "-")}"' in page, heading
    assert page.count('<svg role="img"') == page.count("<svg ")
    for made in ("checkpoint, this model", "checkpoint, from scratch", "pretrain", "report (evaluate)"):
        assert made in page, made
    assert "<script" not in page


def test_text_in_the_page_cannot_become_markup():
    from steps.pages.charts import draw
    from tasks.evaluation import AttentionMaps, Bars, Heatmap, Images, Lines, Picture, Table, Texts

    evil = "<script>alert(1)</script>\"'&"
    blocks = [
        Texts("t", "n", [(evil, evil)]),
        Table(evil, evil, [evil, evil], [[evil, evil]]),
        Bars(evil, evil, evil, evil, [evil], [1]),
        Lines(evil, evil, evil, evil, {evil: ([0, 1], [1, 0]), "b": ([0], [1])}),
        Heatmap(evil, evil, evil, evil, [evil, "b"], [evil, "b"], [[0.5, 0.5], [1.0, 0.0]]),
        AttentionMaps(evil, evil, [evil, evil], {evil: [[0.5, 0.5], [0.5, 0.5]]}),
        Images(evil, evil, [Picture(b"PNG", evil, evil)]),
    ]
    for block in blocks:
        drawn = draw(block)
        assert "<script" not in drawn
        assert "&lt;s" in drawn
        ElementTree.fromstring(drawn)  # well-formed: no quote ended an attribute


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_browser_opens_report_offline_without_errors(report, width, scheme, tmp_path):
    from playwright.sync_api import sync_playwright

    page_file = report.sidecar("report.html")
    said, asked = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        ).new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{page_file}")
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        unnamed = page.evaluate(
            "[...document.querySelectorAll('svg[role=img]')].filter(e => !e.getAttribute('aria-label')).length"
        )
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
    assert overflow <= 0, "the page itself never scrolls sideways"
    assert unnamed == 0
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    assert background == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_report_in_lower_precision_records_answers_of_cpu(tmp_path, inputs, report):
    """Scores are near those of float32; what a server asks again is recorded as any CPU answers it."""
    near = report_of(tmp_path, inputs, precision="bfloat16")
    assert near.digest != report.digest, "float32 after all"
    scores = [Report(one).scores["metrics"]["accuracy"]["value"] for one in (near, report)]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)
    kept, expected = (atomic.read_json(one.file("recorded.json")) for one in (near, report))
    assert kept["questions"] == expected["questions"]
    assert kept["answers"]["prediction"] == expected["answers"]["prediction"]
    np.testing.assert_allclose(kept["answers"]["probability"], expected["answers"]["probability"], rtol=1e-4)


@pytest.mark.parametrize("task", ["translation", "causal_lm"])
def test_task_that_writes_text_is_refused_in_other_frameworks(task):
    config = evaluate.Config.model_construct(task=task, framework="flax")
    with pytest.raises(
        UserError, match=f"{task} writes text, and framework=flax does not: set framework=torch"
    ) as error:
        evaluate.run(config, {}, None, Observe.silent())
    assert error.value.exit_code == 2
