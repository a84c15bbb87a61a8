"""Image classification: it learns, it resumes to the same bytes, it answers any image, and says what is wrong with one."""

import base64
from functools import partial

import numpy as np
import pandas as pd
import pytest

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.images import pixels, png
from artifacts.tokenizer import Tokenizer
from models.config import Architecture, ModelConfig
from models.question import ask_each_row
from tasks import load
from tasks.answers import softmax
from tasks.evaluation import Evaluation, Images
from tasks.image_classification.task import TASK
from tasks.model import Model, build, load_model
from telemetry import Observe
from tests.networks import ask, new_backend, new_network
from tests.small_corpus import make_corpus, train
from tests.small_images import content, digits, picture
from tests.small_training import Hooked, raising_at, same
from training.errors import TrainingError
from training.loop import Trainer
from training.options import TrainingOptions

NETWORKS = {
    "vit": {"preset": "vit", "patch_size": 2, "d_model": 32, "d_ff": 64, "num_heads": 4, "num_layers": 2, "dropout": 0.0},
    "cct": {"preset": "cct", "d_model": 32, "d_ff": 32, "num_heads": 4, "num_layers": 2, "layer_dropout": 0.0},
    "cnn": {"preset": "cnn", "d_model": 32, "num_layers": 3},
}  # fmt: skip
AUGMENTED = {"shift": 1, "crop": 0.9}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, corpus):
    options = {
        **NETWORKS["cct"], "task": "image_classification", "from_scratch": True, "patience": 0,
        "max_updates": 200, "batch_tokens": 64 * 32, "learning_rate": 3e-3, "evaluate_every": 40,
    }  # fmt: skip
    return train(tmp_path_factory.mktemp("cct"), "finetune", {"corpus": corpus}, **options)


def prepared(corpus, name, options=()):
    """Settings, config, untrained network and training examples."""
    data = Corpus(corpus)
    settings = TASK.settings(data, dict(options))
    config = TASK.config(Architecture(**NETWORKS[name]), Tokenizer.none(), settings)
    network = build(TASK, config, settings, 1)
    return settings, config, network, TASK.examples(data, Tokenizer.none(), "train", settings, config)


def test_examples_hold_pixels_and_labels_of_images(corpus):
    _, config, _, examples = prepared(corpus, "vit")
    rows = list(Corpus(corpus).rows("train"))
    assert (config.image_height, config.image_width, config.image_channels, config.vocab_size) == (8, 8, 1, 0)
    assert examples.inputs.values.dtype == np.uint8
    assert examples.ids == [row["id"] for row in rows]
    np.testing.assert_array_equal(examples.inputs[3], pixels(rows[3]["image"], 8, 8, 1).ravel())
    assert [str(label) for label in examples.labels] == [row["label"] for row in rows], "digits name their own place"


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_overfits_twenty_digits(corpus, name):
    settings, config, network, examples = prepared(corpus, name)
    question = ask(TASK, config, examples.batch(np.arange(20)), settings, training=True)
    backend = new_backend(TASK, network, settings)
    for number in range(80):
        done = backend.update([question], number, 3e-3)
    assert done.loss < 0.05


def trainer(corpus, work, before=None):
    settings, config, _, examples = prepared(corpus, "vit", AUGMENTED.items())
    config = config.with_changes({"dropout": 0.1, "layer_dropout": 0.1})
    backend = new_backend(TASK, build(TASK, config, settings, 1), settings, weight_decay=0.01)
    chosen = Hooked(backend, before) if before else backend
    options = TrainingOptions(
        max_updates=12, batch_tokens=16 * 64, warmup=0.1, log_every=3, evaluate_every=5, checkpoint_every=4
    )
    some = examples.take(np.arange(60))
    question_of = partial(TASK.ask, config, settings)
    return Trainer(chosen, question_of, some, some.take(np.arange(10)), options, work, Observe.silent())


def test_resumed_training_matches_uninterrupted_training(corpus, tmp_path):
    whole = trainer(corpus, tmp_path / "whole").run("training")
    for number in (3, 6, 10):
        with pytest.raises(RuntimeError, match="power cut"):
            trainer(corpus, tmp_path / "cut", raising_at(number)).run("training")
    assert same(trainer(corpus, tmp_path / "cut").run("training"), whole)


def test_augmentation_is_seeded_and_applies_only_in_training(corpus):
    settings, config, _, examples = prepared(corpus, "vit", AUGMENTED.items())
    batch = examples.batch(np.arange(8))

    def pixels_of(seed, training):
        return ask(TASK, config, batch, settings, seed=seed, training=training).inputs["pixels"].tobytes()

    assert pixels_of(1, True) == pixels_of(1, True) != pixels_of(2, True)
    assert pixels_of(1, False) == pixels_of(2, False) != pixels_of(1, True)


def test_row_losses_sum_to_batch_loss(corpus):
    settings, config, network, examples = prepared(corpus, "cct")
    batch, backend = examples.batch(np.arange(9)), new_backend(TASK, network, settings)
    question = ask(TASK, config, batch, settings)
    each, logits = backend.row_losses(question), network.logits(question).astype(np.float64)
    nats = np.log(np.exp(logits).sum(1)) - logits[np.arange(9), batch.labels]
    np.testing.assert_allclose(each.total, nats, rtol=1e-4, atol=1e-5)
    assert each.targets.tolist() == [1] * 9
    whole = backend.update([question], 0, 0.0)
    assert whole.targets == 9
    assert whole.loss == pytest.approx(each.total.sum() / 9, rel=1e-5)


def test_trained_classifier_is_accurate_and_keeps_row_order(made, corpus):
    model = load_model(Checkpoint(made))
    questions = TASK.questions(Corpus(corpus), "test", model.settings)
    answers = TASK.predict(model, questions["image"].tolist())
    assert TASK.metrics(TASK.statistics(questions, answers))["accuracy"] > 0.7
    backwards = TASK.predict(model, questions["image"].tolist()[::-1])
    assert backwards["prediction"].tolist()[::-1] == answers["prediction"].tolist()


def test_images_of_any_size_mode_and_encoding_are_answered(made, corpus):
    model = load_model(Checkpoint(made))
    image = next(Corpus(corpus).rows("test"))["image"]
    large = png(np.kron(pixels(image, 8, 8, 1)[..., 0], np.ones((5, 5), np.uint8)))
    given = [
        image,
        base64.b64encode(image).decode(),
        bytearray(image),
        large,
        content(picture(1)),
        content(picture(1), "JPEG"),
    ]
    answers = TASK.predict(model, given)
    assert answers["prediction"].iloc[:3].nunique() == 1
    assert answers["probability"].iloc[:3].nunique() == 1
    assert answers["prediction"].iloc[3] == answers["prediction"].iloc[0], "scaled down it is the same image"
    assert len(TASK.predict(model, [])) == 0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "image 2 of 3: empty file"),
        ("", "image 2 of 3: empty file"),
        (float("nan"), "image 2 of 3: empty file"),
        (b"GIF89a", "image 2 of 3: "),
        ("no base64!", "image 2 of 3: text that is no base64"),
    ],
)
def test_error_names_broken_image(made, value, told):
    good = content(picture(1))
    with pytest.raises(TrainingError, match=told):
        TASK.predict(load_model(Checkpoint(made)), [good, value, good])


def test_baselines_answer_the_same_questions(corpus):
    data = Corpus(corpus)
    settings = TASK.settings(data, {})
    questions = TASK.questions(data, "test", settings)
    found = TASK.baselines(data, questions, settings, 1, Observe.silent())
    assert list(found) == ["majority class", "logistic regression on pixels", "3 nearest neighbours on pixels"]
    scores = {name: TASK.metrics(TASK.statistics(questions, answers))["accuracy"] for name, answers in found.items()}
    assert scores["majority class"] < 0.3 < 0.85 < min(scores[name] for name in list(found)[1:])


def test_the_report_shows_images_errors_and_attention(made, corpus):
    model, data = load_model(Checkpoint(made)), Corpus(corpus)
    questions = TASK.questions(data, "test", model.settings)
    answers = TASK.predict(model, questions["image"].tolist())
    wrong = int((answers["prediction"] != questions["expected"]).sum())
    blocks = TASK.report(Evaluation(model, questions, answers, {}, {}))
    assert [block.title for block in blocks] == [
        "Classes",
        "Confusion",
        "Calibration",
        "Predictions",
        "Worst errors",
        "Attention over patches",
    ]
    grids = [block for block in blocks if isinstance(block, Images)]
    assert [len(grid.items) for grid in grids] == [24, min(24, wrong), 12]
    assert all(item.content.startswith(b"\x89PNG") and item.alt for grid in grids for item in grid.items)
    assert all(item.caption.startswith("✗") for item in grids[1].items)
    right = answers.assign(prediction=questions["expected"])
    perfect = TASK.report(Evaluation(model, questions, right, {}, {}))
    assert perfect[4].items == []


def test_unsuitable_corpus_and_options_are_refused(corpus, tmp_path):
    with pytest.raises(TrainingError, match="a corpus of text; image_classification needs images"):
        TASK.settings(Corpus(make_corpus(tmp_path)), {})
    data = Corpus(corpus)
    data.info["labels"] = ["7"]
    with pytest.raises(TrainingError, match="1 labels; image_classification needs at least two"):
        TASK.settings(data, {})
    with pytest.raises(
        TrainingError, match=r"options of image_classification: flop: .*; its options: shift, crop, flip"
    ):
        TASK.settings(Corpus(corpus), {"flop": True})
    settings = TASK.settings(Corpus(corpus), {})
    config = TASK.config(Architecture(patch_size=3), Tokenizer.none(), settings)
    with pytest.raises(TrainingError, match="patch_size=3 does not divide images of 8 x 8"):
        build(TASK, config, settings, 1)


def test_error_names_unknown_label(corpus):
    settings = TASK.settings(Corpus(corpus), {}) | {"labels": ["0", "1"]}
    with pytest.raises(
        TrainingError, match=r"digits:\d+ has label '\d', which the model was not taught; it knows 0, 1"
    ):
        TASK.questions(Corpus(corpus), "test", settings)


def test_signature_example_can_be_predicted(made):
    asked, answered = load("image_classification").example()
    assert list(TASK.predict(load_model(Checkpoint(made)), asked["image"])) == list(answered)


def test_predict_keeps_channels_and_sides_of_colour_images():
    """Pixels, channels and sides go to where they belong: an image that is not square, in colour."""
    config = ModelConfig(
        d_model=8, num_heads=2, num_layers=1, patch_size=2, image_height=4, image_width=6, image_channels=3
    )
    settings = {"labels": ["a", "b"], "augmentation": {}, "image": {"height": 4, "width": 6, "channels": 3}}
    network = new_network(TASK, config, settings)
    model = Model(network, Tokenizer.none(), config, TASK.name, settings)
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    pixels_in_place = (values.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)  # [1, C, H, W]
    expected = softmax(network.logits(ask_each_row({"pixels": np.ascontiguousarray(pixels_in_place)}))).max()
    assert TASK.predict(model, [png(values)])["probability"][0] == pytest.approx(expected, abs=1e-5)
    assert isinstance(TASK.predict(model, [png(values)]), pd.DataFrame)
