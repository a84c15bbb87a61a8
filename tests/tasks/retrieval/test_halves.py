"""Pairs from texts alone: cuts that lose nothing, parts that fit, negatives that are of other texts, and a network that learns."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.chance import generator_of
from models.config import ModelConfig
from tasks.model import load_model
from tasks.retrieval import halves
from tasks.retrieval.task import TASK
from telemetry import Observe
from tests.networks import ask
from tests.small_corpus import make_corpus, make_tokenizer, train
from training.batches import Examples

CONFIG = ModelConfig(d_model=8, d_ff=8, num_heads=1, num_layers=1, vocab_size=40, max_length=12)
SETTINGS = {"pairs": "halves", "temperature": 0.05, "symmetric": True, "projection": 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Texts of three topics, without queries, and a network that learned from their halves."""
    root = tmp_path_factory.mktemp("halves")
    corpus = make_corpus(root)
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus)}
    options = {"task": "retrieval", "options": {"pairs": "halves"}, "max_updates": 60, "learning_rate": 0.01,
               "batch_tokens": 900, "evaluate_every": 30, "d_model": 32, "num_layers": 1}  # fmt: skip
    return inputs | {"checkpoint": train(root, "pretrain", inputs, **options)}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("one two three four", ("one two", "three four")),
        ("one  \n two", ("one", "two")),
        ("a verylongword", ("a", "verylongword")),
        ("  indented", ("  ind", "ented")),
        ("日本語文", ("日本", "語文")),
        ("x", ("", "x")),
        ("", ("", "")),
    ],
)
def test_text_is_cut_at_the_white_space_nearest_to_its_middle(text, parts):
    assert halves.of(text) == parts


@given(some.text())
def test_cut_loses_nothing_but_white_space(text):
    first, second = halves.of(text)
    assert text.startswith(first)
    assert text.endswith(second)
    assert not text[len(first) : len(text) - len(second)].strip()


@given(some.lists(some.integers(1, 2 * 10), min_size=1, max_size=6), some.booleans(), some.integers(0, 9))
def test_parts_of_a_row_are_the_row_and_fit(lengths, is_drawn, seed):
    rows = [[2, *range(5, 5 + length), 3] for length in lengths]
    batch = Examples.of(rows, [str(place) for place in range(len(rows))], 0).batch(np.arange(len(rows)))
    found = halves.cut(batch, CONFIG, generator_of(seed) if is_drawn else None)
    for row, length in enumerate(lengths):
        first, second = found.input_ids[row][found.attention_mask[row]], found.target_ids[row][found.target_mask[row]]
        assert [first[0], first[-1], second[0], second[-1]] == [2, 3, 2, 3]
        assert [*first[1:-1], *second[1:-1]] == rows[row][1:-1]
        assert max(len(first), len(second)) <= CONFIG.max_length
        if not is_drawn:
            assert abs(len(first) - len(second)) <= 1
        elif length <= 10:
            assert round(0.3 * length) <= len(first) - 2 <= round(0.7 * length)


def test_cuts_are_drawn_anew_in_training_and_are_halves_in_an_evaluation():
    batch = Examples.of([[2, *range(5, 15), 3]], ["a"], 0).batch(np.arange(1))
    places = {
        ask(TASK, CONFIG, batch, SETTINGS, seed=seed, training=True).inputs["input_ids"].shape[1] - 2
        for seed in range(40)
    }
    assert places == {3, 4, 5, 6, 7}
    assert ask(TASK, CONFIG, batch, SETTINGS).inputs["input_ids"].shape[1] - 2 == 5


def test_parts_of_one_text_are_no_negatives_of_each_other():
    batch = Examples.of([[2, 5, 6, 3], [2, 7, 8, 3], [2, 9, 10, 3]], ["a", "a", "b"], 0).batch(np.arange(3))
    kinds = ask(TASK, CONFIG, batch, SETTINGS).more["kinds"]
    same = (kinds[:, None] == kinds[None]).any(-1)
    assert same.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_long_texts_become_several_examples_and_no_token_is_lost(made):
    corpus, tokenizer = Corpus(made["corpus"]), Tokenizer(made["tokenizer"].path)
    found: dict[str, list[int]] = {}
    examples = list(halves.encode(corpus, tokenizer, "test", 8))
    for example in examples:
        assert len(example.numbers) <= 2 * 6 + 2
        found.setdefault(example.row, []).extend(example.numbers[1:-1])
    assert len(examples) > len(found) == corpus.count("test")
    for row in corpus.rows("test", ["id", "text"]):
        whole = tokenizer.encode(row["text"])
        assert found[row["id"]] == whole[: len(found[row["id"]])]
        assert len(whole) - len(found[row["id"]]) < 4


def test_network_finds_the_other_half(made):
    model, corpus = load_model(Checkpoint(made["checkpoint"])), Corpus(made["corpus"])
    questions = TASK.questions(corpus, "test", model.settings)
    queries, texts = (questions[questions["role"] == role] for role in ("query", "text"))
    parts = dict(zip(texts["id"], texts["text"], strict=True))
    for row in corpus.rows("test", ["id", "text"]):
        assert row["text"].startswith(parts[row["id"]])
    assert {name for expected in queries["expected"] for name in json.loads(expected)} == set(parts)
    ranks = TASK.statistics(questions, TASK.predict(model, questions["text"].tolist()))["rank"].dropna()
    assert ranks.median() < 0.6 * len(texts) / 2, "a half is nearer to that of its topic than by chance"
    assert list(TASK.baselines(corpus, questions, model.settings, 1, Observe.silent())) == ["BM25", "TF-IDF"]
