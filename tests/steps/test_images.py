"""Images through the steps that know nothing of them: a report that a browser opens, a version that MLflow asks."""

import base64
import json
import os
import subprocess
import sys

import pytest

from artifacts import Output, atomic, open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.report import Report
from artifacts.runs import FINISHED, Run
from artifacts.store import Store
from steps.step import load_step
from tasks.image_classification.task import TASK
from tasks.model import load_model
from tasks.why.rows import rows_of
from tasks.why.run_lookup import trainings
from telemetry import Observe
from tests import spiked
from tests.browsers import FLAGS, chromium
from tests.mlflow_home import own_store
from tests.small_corpus import train
from tests.small_images import digits

evaluate = load_step("evaluate")
register = load_step("register")

VIT = {"task": "image_classification", "preset": "vit", "patch_size": 2, "from_scratch": True, "dropout": 0.0,
       "options": {"shift": 1}, "batch_tokens": 1024}  # fmt: skip
CNN = VIT | {"preset": "cnn", "patch_size": 0, "num_layers": 3}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    corpus = {"corpus": digits(root)}
    made = {
        "checkpoint": train(root, "finetune", corpus, **VIT),
        "rivals.0": train(root / "cnn", "finetune", corpus, **CNN),
    }
    return corpus | made


@pytest.fixture(scope="module")
def report(tmp_path_factory, inputs):
    root = tmp_path_factory.mktemp("report")
    given = {name: str(made.path) for name, made in inputs.items()}
    options = {"task": "image_classification", "bootstrap_samples": 20}
    config = evaluate.Config.with_inputs(given, **options)
    output = Output("report", root / "work", step="evaluate", parents=inputs, root=root)
    evaluate.run(config, inputs, output, Observe.silent())
    return open_artifact(output.commit().path)


def test_report_compares_cnn_and_pixel_baselines(report):
    scores = Report(report).scores
    assert scores["primary_metric"] == "accuracy"
    assert sorted(scores["baselines"]) == [
        "3 nearest neighbours on pixels",
        "cnn",
        "logistic regression on pixels",
        "majority class",
    ]


def test_report_page_describes_and_embeds_images(report):
    page = report.sidecar("report.html").read_text()
    for heading in (
        "Classes",
        "Confusion",
        "Predictions",
        "Worst errors",
        "Attention over patches",
        "Data",
        "Leak check",
    ):
        assert f">{heading}</h2>" in page, heading
    assert "Image classification into 10 classes" in page
    assert "for images of 8 x 8 pixels in patches of 2 x 2" in page
    assert "400 images were read and made 8 x 8 pixels, grey" in page
    assert page.count('<img src="data:image/png;base64,') == page.count("<img ") >= 48
    for never in ("Jaccard", "too short", "names left in the text", ">Lengths<"):
        assert never not in page, never


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_every_image(report, scheme):
    from playwright.sync_api import sync_playwright

    said = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme, offline=True).new_page()
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"file://{report.sidecar('report.html')}")
        broken = page.evaluate("[...document.images].filter(e => !e.complete || !e.naturalWidth || !e.alt).length")
        widths = page.evaluate("[...document.images].map(e => e.clientWidth)")
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        browser.close()
    assert (said, broken) == ([], 0)
    assert min(widths) > 60
    assert overflow <= 0


@pytest.mark.slow
def test_registered_version_predicts_base64_images_from_json(tmp_path, inputs, report, monkeypatch):
    client = own_store(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("0").info.run_id)
    made = {"checkpoint": inputs["checkpoint"], "report": report}
    config = register.Config(**{name: str(found.path) for name, found in made.items()}, name="digits")
    output = Output("model_version", tmp_path / "work", step="register", parents=made, root=tmp_path)
    register.run(config, made, output, Observe.silent())
    assert "Give it a column `image`" in client.get_model_version_by_alias("digits", "challenger").description
    kept = [path for path in tmp_path.rglob("requirements.txt") if "pillow==" in path.read_text()]
    assert kept, "the version brings what it reads images with"

    images = [row["image"] for row in Corpus(inputs["corpus"]).rows("test", ["image"])][:3]
    own = TASK.predict(load_model(Checkpoint(inputs["checkpoint"])), images)
    frame = {"columns": ["image"], "data": [[base64.b64encode(image).decode()] for image in images]}
    atomic.write_json(tmp_path / "input.json", {"dataframe_split": frame})
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "models", "predict", "-m", "models:/digits@challenger",
               "-i", str(tmp_path / "input.json"), "-t", "json", "--env-manager", "local"]  # fmt: skip
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout[done.stdout.index("{") :])["predictions"]
    assert [answer["prediction"] for answer in answers] == own["prediction"].tolist()
    assert [answer["probability"] for answer in answers] == pytest.approx(own["probability"].tolist(), abs=1e-5)


def test_image_rows_of_an_update_have_ids_and_losses(tmp_path, inputs):
    """`python -m tasks.why`, without a tokenizer."""
    run = Run.start(tmp_path, "images" + "0" * 26, "digits", "")
    corpus = {"corpus": digits(tmp_path)}
    spiked.train(tmp_path, run, "finetune", corpus, **(VIT | {"max_updates": 20, "learning_rate": 1e-3}))
    run.end(FINISHED)
    store = Store(tmp_path)
    training = trainings(store, "", "finetune")[0]
    found = rows_of(store, training, next(iter(training.updates.between(5, 5))))
    assert found.missing == ""
    assert len(found.rows) == 1024 // 64
    assert all(row.loss and row.loss.targets == 1 and row.id.startswith("digits:") for row in found.rows)
