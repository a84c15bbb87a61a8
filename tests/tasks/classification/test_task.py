"""The task against scikit-learn and against what can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from tasks import load
from tasks.classification.task import TASK
from tasks.classification_scores import calibration_error, confusion, per_class
from tasks.model import load_model, watch_rows
from telemetry import Observe
from tests.networks import ask, new_backend
from tests.small_corpus import make_corpus, make_tokenizer, train
from training.errors import TrainingError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("classification")
    corpus = make_corpus(root)
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus)}
    options = {"from_scratch": True, "max_updates": 150, "learning_rate": 0.01, "evaluate_every": 50, "patience": 0}
    return inputs | {"checkpoint": train(root, "finetune", inputs, **options)}


def test_metrics_match_scikit_learn():
    random = np.random.default_rng(0)
    expected, predicted = random.choice(list("abcd"), 200), random.choice(list("abc"), 200)
    found = TASK.metrics(pd.DataFrame({"expected": expected, "prediction": predicted}))
    assert found["accuracy"] == pytest.approx(accuracy_score(expected, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(expected, predicted, average="macro", zero_division=0))


def test_per_class_scores_match_hand_calculation():
    counts, labels = confusion(np.array(list("aabb")), np.array(list("abbb")))
    assert labels == ["a", "b"]
    assert counts.tolist() == [[1, 1], [0, 2]]
    assert per_class(counts)["precision"].tolist() == [1.0, 2 / 3]
    assert per_class(counts)["recall"].tolist() == [0.5, 1.0]
    assert per_class(counts)["f1"].tolist() == [2 / 3, 0.8]


def test_calibration_error_matches_hand_calculation():
    assert calibration_error(np.array([0.95, 0.95, 0.95, 0.95]), np.array([True, True, True, False])) == pytest.approx(
        0.2
    )
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0.0


def test_trained_classifier_is_accurate_and_keeps_row_order(made):
    corpus, model = Corpus(made["corpus"]), load_model(Checkpoint(made["checkpoint"]))
    questions = TASK.questions(corpus, "test", model.settings)
    seen = list[int]()
    with watch_rows(seen.append):
        answers = TASK.predict(model, questions["text"].tolist())
    assert sum(seen) == len(questions), "progress is by rows"
    assert TASK.metrics(TASK.statistics(questions, answers))["accuracy"] > 0.9
    backwards = TASK.predict(model, questions["text"].tolist()[::-1])
    assert backwards["prediction"].tolist()[::-1] == answers["prediction"].tolist()
    np.testing.assert_allclose(backwards["probability"].to_numpy()[::-1], answers["probability"].to_numpy(), atol=1e-5)


def test_unusual_texts_get_valid_answers(made):
    model = load_model(Checkpoint(made["checkpoint"]))
    answers = TASK.predict(model, ["", "apple " * 5000, "\N{SNOWMAN}\x00\n"])
    assert set(answers["prediction"]) <= {"a", "b", "c"}
    assert answers["probability"].between(1 / 3, 1).all()
    assert len(TASK.predict(model, [])) == 0


def test_baselines_answer_the_same_questions(made):
    corpus = Corpus(made["corpus"])
    settings = TASK.settings(corpus, {})
    questions = TASK.questions(corpus, "test", settings)
    found = TASK.baselines(corpus, questions, settings, 1, Observe.silent())
    assert list(found) == ["majority class", "TF-IDF + logistic regression"]
    scores = {name: TASK.metrics(TASK.statistics(questions, answers))["accuracy"] for name, answers in found.items()}
    assert scores["majority class"] < 0.6 < 0.9 < scores["TF-IDF + logistic regression"]


def test_row_losses_sum_to_batch_loss(made):
    model = load_model(Checkpoint(made["checkpoint"]))
    batch = TASK.examples(Corpus(made["corpus"]), model.tokenizer, "train", model.settings, model.config).batch(
        np.arange(9)
    )
    backend = new_backend(TASK, model.network, model.settings)
    question = ask(TASK, model.config, batch, model.settings)
    each = backend.row_losses(question)
    logits = model.network.logits(question).astype(np.float64)
    nats = np.log(np.exp(logits).sum(1)) - logits[np.arange(9), batch.labels]
    np.testing.assert_allclose(each.total, nats, rtol=1e-4, atol=1e-5)
    assert each.targets.tolist() == [1] * 9
    whole = backend.update([question], 0, 0.0)
    assert whole.targets == 9
    assert whole.loss == pytest.approx(each.total.sum() / 9, rel=1e-5)


def test_padding_does_not_change_row_loss(made):
    model = load_model(Checkpoint(made["checkpoint"]))
    examples = TASK.examples(Corpus(made["corpus"]), model.tokenizer, "train", model.settings, model.config)
    rows = np.argsort(examples.lengths)[[0, -1]]
    backend = new_backend(TASK, model.network, model.settings)
    both, alone = (
        backend.row_losses(ask(TASK, model.config, examples.batch(some), model.settings)) for some in (rows, rows[:1])
    )
    assert examples.lengths[rows[0]] < examples.lengths[rows[1]]
    np.testing.assert_allclose(both.total[0], alone.total[0], rtol=1e-4, atol=1e-5)


def test_a_corpus_without_labels_is_refused(tmp_path):
    corpus = Corpus(make_corpus(tmp_path, label_column=""))
    with pytest.raises(TrainingError, match="0 labels; classification needs at least two"):
        load("classification").settings(corpus, {})


def test_examples_are_the_labelled_rows(made):
    corpus, tokenizer = Corpus(made["corpus"]), Tokenizer(made["tokenizer"].path)
    examples = TASK.examples(corpus, tokenizer, "train", {"labels": ["a", "b", "c"]}, ModelConfig(max_length=16))
    assert len(examples) == corpus.count("train")
    assert examples.lengths.max() == 16
    assert [examples.inputs[i][0] for i in range(len(examples))] == [tokenizer.cls_id] * len(examples)
