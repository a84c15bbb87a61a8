"""Marked places: tags and back, scores by hand, windows, and a network that learns to find them."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from tasks import load
from tasks.evaluation import Evaluation, MarkedTexts
from tasks.model import load_model
from tasks.token_classification import report as span_report
from tasks.token_classification import tagging
from tasks.token_classification.baselines import Dictionary, patterns
from tasks.token_classification.task import TASK
from telemetry import Observe
from tests.networks import ask, new_backend
from tests.small_corpus import make_corpus, make_tokenizer, train
from tests.small_spans import make_marked
from training.errors import TrainingError

KINDS = ["NUMBER", "THING"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("spans")
    corpus = make_marked(root)
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus, 340)}
    options = {"task": "token_classification", "from_scratch": True, "max_updates": 120, "learning_rate": 0.02,
               "evaluate_every": 60, "patience": 0, "max_length": 24}  # fmt: skip
    return inputs | {"checkpoint": train(root, "finetune", inputs, **options)}


@pytest.fixture(scope="module")
def tokenizer(made):
    return Tokenizer(made["tokenizer"].path)


# Tags


@settings(max_examples=100, deadline=None)
@given(st.text("ab_1 <>\n\té\N{SNOWMAN}\N{GRINNING FACE}", max_size=40))
def test_words_cover_text_in_order_without_splitting_letter_runs(tokenizer, text):
    ids, words = tagging.cut(tokenizer, text)
    assert ids == tokenizer.encode(text)
    at = 0
    for word in words:
        assert word.start >= at
        assert not text[at : word.start].strip(), "only white space lies between words"
        if word.start and word.start == at:
            before, first = text[word.start - 1], text[word.start]
            assert not (tagging._is_of_word(before) and tagging._is_of_word(first))
        at = word.end
    assert not text[at:].strip()
    assert [word.piece for word in words] == sorted({word.piece for word in words})


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["the", "<12>", "apple", ","]), st.sampled_from([None, "A", "B"])), max_size=12)
)
def test_tags_convert_back_to_spans(tokenizer, chosen):
    text, spans = "", []
    for words, kind in chosen:
        text += f"{words} "
        if kind:
            spans.append((len(text) - len(words) - 1, len(text) - 1, kind))
    _, words = tagging.cut(tokenizer, text)
    tags = tagging.tags_of(words, spans, ["A", "B"])
    assert [span for span, _ in tagging.spans_of(words, tags, [1.0] * len(tags), ["A", "B"])] == spans


def test_tags_and_spans_match_hand_calculation(tokenizer):
    text = "x_1 : old apple, y"
    _, words = tagging.cut(tokenizer, text)
    assert [text[word.start : word.end] for word in words] == ["x_1", ":", "old", "apple", ",", "y"]
    assert tagging.tags_of(words, [(0, 3, "A"), (6, 15, "B")], ["A", "B"]) == [1, 0, 3, 4, 0, 0]
    found = tagging.spans_of(words, [2, 2, 4, 4, 3, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 1.0], ["A", "B"])
    assert found == [((0, 5, "A"), 0.8), ((6, 15, "B"), 0.6), ((15, 16, "B"), 0.5)], "an I without its B begins a span"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), st.integers(4, 30), st.data())
def test_each_piece_is_answered_by_one_window(count, limit, data):
    overlap = data.draw(st.integers(0, limit - 2))
    found = list(tagging.windows(count, limit, overlap))
    assert [piece for window in found for piece in range(window.first, window.last)] == list(range(count))
    for window in found:
        assert window.start <= window.first <= window.last <= window.end
        assert window.end - window.start <= limit


# Training


def test_examples_have_a_tag_at_the_first_piece_of_each_word(made, tokenizer):
    corpus = Corpus(made["corpus"])
    examples = TASK.examples(corpus, tokenizer, "train", {"kinds": KINDS}, ModelConfig(max_length=12))
    assert len(examples) > corpus.count("train"), "a long row becomes several"
    rows = {row["id"]: row for row in corpus.rows("train")}
    for place in range(0, len(examples), 7):
        ids, tags = examples.inputs[place], examples.tags[place]
        assert len(ids) == len(tags)
        assert tags[0] == tags[-1] == -1
    row = rows[examples.ids[0]]
    parts = [place for place, name in enumerate(examples.ids) if name == row["id"]]
    tags = np.concatenate([examples.tags[place][1:-1] for place in parts])
    _, words = tagging.cut(tokenizer, row["text"])
    assert np.flatnonzero(tags >= 0).tolist() == [word.piece for word in words]
    assert sum(tags[tags >= 0] % 2 == 1) == len(json.loads(row["spans"])), "a B for each span"


def test_row_losses_sum_to_batch_loss(made, tokenizer):
    model = load_model(Checkpoint(made["checkpoint"]))
    examples = TASK.examples(Corpus(made["corpus"]), tokenizer, "test", model.settings, model.config)
    batch = examples.batch(np.arange(9))
    backend = new_backend(TASK, model.network, model.settings)
    question = ask(TASK, model.config, batch, model.settings)
    rows = backend.row_losses(question)
    alone = backend.row_losses(ask(TASK, model.config, examples.batch(np.array([4])), model.settings))
    nats = model.network.nats(question)
    np.testing.assert_allclose(rows.total, np.bincount(question.rows, nats, 9), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows.total[4], alone.total[0], rtol=1e-4, atol=1e-5)
    whole = backend.update([question], 0, 0.0)
    assert whole.targets == int(rows.targets.sum()) == int((batch.tags >= 0).sum())
    assert whole.loss == pytest.approx(rows.total.sum() / whole.targets, rel=1e-5)


def test_question_asks_only_for_word_tags(made, tokenizer):
    settings, config = {"kinds": KINDS}, ModelConfig(max_length=12, vocab_size=tokenizer.vocab_size)
    batch = TASK.examples(Corpus(made["corpus"]), tokenizer, "test", settings, config).batch(np.arange(9))
    question = ask(TASK, config, batch, settings)
    assert question.labels.tolist() == batch.tags[batch.tags >= 0].tolist()
    assert question.targets.tolist() == (batch.tags >= 0).sum(1).tolist()
    assert batch.attention_mask.reshape(-1)[question.places].all()


def test_corpus_without_marked_spans_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"no marked place in any text; .*set spans_column"):
        load("token_classification").settings(Corpus(make_corpus(tmp_path)), {})


# Answers


def test_trained_model_finds_marked_spans(made):
    corpus, model = Corpus(made["corpus"]), load_model(Checkpoint(made["checkpoint"]))
    questions = TASK.questions(corpus, "test", model.settings)
    answers = TASK.predict(model, questions["text"].tolist())
    scores = TASK.metrics(TASK.statistics(questions, answers))
    assert scores["entity_f1"] > 0.9
    assert set(scores) == {"entity_f1", "precision", "recall", "f1_NUMBER", "f1_THING"}
    for text, found in zip(questions["text"], answers["prediction"], strict=True):
        for span in json.loads(found):
            assert span["text"] == text[span["start"] : span["end"]]
            assert span["kind"] in KINDS
            assert 0 < span["probability"] <= 1


def test_long_text_is_answered_to_its_end(made):
    corpus, model = Corpus(made["corpus"]), load_model(Checkpoint(made["checkpoint"]))
    texts = TASK.questions(corpus, "test", model.settings)["text"].tolist()[:20]
    whole = TASK.predict(model, [" ".join(texts)])["prediction"][0]
    single = [json.loads(found) for found in TASK.predict(model, texts)["prediction"]]
    told = sum(len(found) for found in single)
    assert abs(len(json.loads(whole)) - told) <= 4
    assert json.loads(whole)[-1]["end"] > len(" ".join(texts[:-1]))


def test_answers_do_not_depend_on_order_and_cover_unusual_texts(made):
    model = load_model(Checkpoint(made["checkpoint"]))
    texts = ["", " \n", "the <12> and", "\N{SNOWMAN}\x00\n", "apple " * 300]
    answers = TASK.predict(model, texts)
    assert answers["prediction"].tolist()[:2] == ["[]", "[]"]
    backwards = TASK.predict(model, texts[::-1])
    strip = [[(s["start"], s["end"]) for s in json.loads(found)] for found in answers["prediction"]]
    assert strip == [[(s["start"], s["end"]) for s in json.loads(found)] for found in backwards["prediction"]][::-1]
    assert len(TASK.predict(model, [])) == 0
    with pytest.raises(TrainingError, match="options of token_classification: beams"):
        TASK.predict(model, ["x"], beams=2)


# Scores


def frames(expected, found):
    questions = pd.DataFrame({"expected": [json.dumps(spans) for spans in expected]})
    return questions, pd.DataFrame({"prediction": [json.dumps(spans) for spans in found]})


def test_span_scores_match_conll_rule():
    """CoNLL-2003's own rule: start, end and kind must be right, and each wrong one is a wrong and a missed one."""
    expected = [[[0, 3, "A"], [5, 9, "A"], [10, 12, "B"]], []]
    found = [[[0, 3, "A"], [5, 8, "A"], [10, 12, "A"]], [[0, 1, "C"]]]
    scores = TASK.metrics(TASK.statistics(*frames(expected, found)))
    assert scores["precision"] == 1 / 4
    assert scores["recall"] == 1 / 3
    assert scores["entity_f1"] == pytest.approx(2 * (1 / 4) * (1 / 3) / (1 / 4 + 1 / 3))
    assert scores["f1_A"] == pytest.approx(2 * 1 / (2 * 1 + 2 + 1))
    assert scores["f1_B"] == 0
    assert TASK.metrics(TASK.statistics(*frames(expected, expected)))["entity_f1"] == 1
    assert set(TASK.metrics(TASK.statistics(*frames(expected, [[], []])))) == set(scores)


def test_dictionary_marks_longest_mostly_marked_phrase():
    rows = [
        ("old apple and apple", [(0, 9, "THING")]),
        ("apple", [(0, 5, "FRUIT")]),
        ("the apple", [(0, 3, "THING")]),
        ("the the the", []),
    ]
    known = Dictionary(rows)
    assert known.mark("an old apple") == [(3, 12, "THING")]
    assert known.mark("the end") == []
    assert known.mark("") == []
    assert known.mark("an old") == []
    assert Dictionary([("a b", [(0, 3, "X")]), ("b", [(0, 1, "X")])]).mark("b") == [(0, 1, "X")], "at the end of a text"


def test_patterns_find_docstring_spans():
    text = "Of `x`.\n\nParameters\n----------\naxis : int, optional\n    Or ``y``. Defaults to 3.\n"
    assert [(kind, text[start:end]) for start, end, kind in patterns(text) if text[start:end] != "Parameters"] == [
        ("PARAMETER", "x"),
        ("PARAMETER", "axis"),
        ("TYPE", "int"),
        ("PARAMETER", "y"),
        ("VALUE", "3"),
    ]


def test_evaluation_gives_span_baseline_and_report(made):
    corpus, model = Corpus(made["corpus"]), load_model(Checkpoint(made["checkpoint"]))
    questions = TASK.questions(corpus, "test", model.settings)
    baselines = TASK.baselines(corpus, questions, model.settings, 1, Observe.silent())
    assert list(baselines) == ["spans seen in training"], "patterns of docstrings say nothing of other kinds"
    rival = TASK.metrics(TASK.statistics(questions, baselines["spans seen in training"]))["entity_f1"]
    assert 0.2 < rival < 0.95
    predictions = TASK.predict(model, questions["text"].tolist())
    blocks = span_report.blocks(Evaluation(model, questions, predictions, baselines, {}), TASK)
    assert [block.title for block in blocks] == ["Kinds", "Confusion", "Marked texts", "Worst errors", "Attention"]
    assert [row[0] for row in blocks[0].rows] == ["NUMBER", "THING", "all"]
    assert sum(row[1] for row in blocks[0].rows[:-1]) == blocks[0].rows[-1][1]
    assert isinstance(blocks[2], MarkedTexts)
