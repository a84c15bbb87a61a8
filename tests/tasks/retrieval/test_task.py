"""Vectors of queries and texts: the loss by hand, ranks by hand, baselines by hand, and a network that learns to find."""

import json
import random

import numpy as np
import pandas as pd
import pytest

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from tasks.evaluation import Evaluation
from tasks.model import load_model
from tasks.retrieval import report as retrieval_report
from tasks.retrieval.baselines import bm25, tf_idf, words_of
from tasks.retrieval.task import TASK, cosines
from telemetry import Observe
from tests.networks import ask, new_backend, new_network, terms_of
from tests.prepared import prepare, write_jsonl
from tests.small_corpus import COMMON, WORDS, make_corpus, make_tokenizer, train
from training.batches import Examples
from training.errors import TrainingError

CONFIG = ModelConfig(d_model=8, d_ff=8, num_heads=1, num_layers=1, vocab_size=40, max_length=12)
SETTINGS = {"temperature": 0.05, "symmetric": True, "projection": 0}
SYNONYMS = dict(zip(WORDS["a"].split(), WORDS["b"].split(), strict=True))  # what a query says, and a text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Texts that hold two words of `b` among others; queries say the same by the words of `a`: no word in common."""
    root, number = tmp_path_factory.mktemp("pairs"), random.Random(0)
    rows = []
    for _ in range(300):
        asked = number.sample(sorted(SYNONYMS), 2)
        words = [*(SYNONYMS[word] for word in asked), *(number.choice(COMMON) for _ in range(8))]
        number.shuffle(words)
        rows.append({"text": " ".join(words), "query": " ".join(asked)})
    corpus = prepare(root, write_jsonl(root / "pairs.jsonl", rows), target_column="query", validation_share=0.15,
                     test_share=0.15, near_duplicate_threshold=1)  # fmt: skip
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus, 340)}
    options = {"task": "retrieval", "from_scratch": True, "max_updates": 150, "learning_rate": 0.01, "batch_tokens": 600,
               "evaluate_every": 50, "patience": 0, "d_model": 32, "select_by": "metric", "validation_rows": 30}  # fmt: skip
    return inputs | {"checkpoint": train(root, "finetune", inputs, **options)}


# The loss


def question_of(made, model, rows):
    examples = TASK.examples(
        Corpus(made["corpus"]), Tokenizer(made["tokenizer"].path), "test", model.settings, model.config
    )
    return ask(TASK, model.config, examples.batch(np.array(rows)), model.settings)


@pytest.mark.parametrize("symmetric", [False, True])
def test_loss_is_info_nce_of_network_vectors(made, symmetric):
    """By hand, of the vectors that the network answers with; a query's own text is the right one."""
    model = load_model(Checkpoint(made["checkpoint"]))
    settings, question = (
        model.settings | {"temperature": 0.2, "symmetric": symmetric},
        question_of(made, model, range(8)),
    )
    texts = model.network.vectors(question.inputs).astype(np.float64)
    queries = model.network.vectors(
        {
            "input_ids": question.inputs["target_ids"],
            "attention_mask": question.inputs["target_mask"],
        }
    ).astype(np.float64)
    scores = queries @ texts.T / 0.2
    scores[same_kinds(question) & ~np.eye(8, dtype=bool)] = -np.inf

    def nats(each):
        return np.log(np.exp(each).sum(1)) - np.diag(each)

    expected = (nats(scores) + nats(scores.T)) / 2 if symmetric else nats(scores)
    rows = new_backend(TASK, model.network, settings).row_losses(question)
    np.testing.assert_allclose(rows.total, expected, rtol=1e-4, atol=1e-5)


def test_row_losses_sum_up_and_repeated_queries_are_no_negatives(made):
    model = load_model(Checkpoint(made["checkpoint"]))
    backend, question = new_backend(TASK, model.network, model.settings), question_of(made, model, range(12))
    rows = backend.row_losses(question)
    assert backend.row_losses(question_of(made, model, [3, 3, 3])).total.tolist() == [0, 0, 0], (
        "nothing to be told apart"
    )
    whole = backend.update([question], 0, 0.0)
    assert whole.targets == int(rows.targets.sum()) == 12
    assert whole.loss == pytest.approx(rows.total.sum() / 12, rel=1e-5)


def same_kinds(question):
    """[B, B]: True where two rows have the same text or the same query."""
    kinds = question.more["kinds"]
    return (kinds[:, None] == kinds[None]).any(-1)


def test_rows_with_same_query_or_text_are_no_negatives():
    examples = Examples.of(
        [[2, 5, 3], [2, 6, 3], [2, 5, 3], [2, 6, 7, 3]],
        list("abcd"),
        0,
        targets=[[2, 8, 3], [2, 8, 3], [2, 9, 3], [2, 9, 9, 3]],
    )
    question = ask(TASK, CONFIG, examples.batch(np.arange(4)), SETTINGS)
    expected = np.eye(4, dtype=bool)
    for one, other in ((0, 2), (0, 1)):  # the text of the first and third, the query of the first and second
        expected[one, other] = expected[other, one] = True
    np.testing.assert_array_equal(same_kinds(question), expected)
    assert question.targets.tolist() == [1, 1, 1, 1]


def test_gradients_reach_the_network_through_queries_and_texts():
    network = new_network(TASK, CONFIG, SETTINGS | {"projection": 4})
    examples = Examples.of([[2, 5, 3], [2, 6, 3]], ["a", "b"], 0, targets=[[2, 7, 3], [2, 8, 3]])
    question = ask(TASK, CONFIG, examples.batch(np.arange(2)), SETTINGS)
    terms_of(TASK, network, question, SETTINGS).each.sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.module.named_parameters()}
    assert all(gradient is not None and gradient.any() for gradient in gradients.values())
    seen = gradients["encoder.embedding.tokens.weight"].abs().sum(-1).nonzero().flatten().tolist()
    assert seen == [2, 3, 5, 6, 7, 8]


# Answers


def test_trained_model_finds_texts_without_shared_words(made):
    corpus, model = Corpus(made["corpus"]), load_model(Checkpoint(made["checkpoint"]))
    questions = TASK.questions(corpus, "test", model.settings)
    answers = TASK.predict(model, questions["text"].tolist())
    scores = TASK.metrics(TASK.statistics(questions, answers))
    found = TASK.baselines(corpus, questions, model.settings, 1, Observe.silent())
    rivals = {name: TASK.metrics(TASK.statistics(questions, answers)) for name, answers in found.items()}
    assert list(rivals) == ["BM25", "TF-IDF"]
    assert scores["mrr_at_10"] > 0.6
    assert max(rival["mrr_at_10"] for rival in rivals.values()) < 0.1
    blocks = retrieval_report.blocks(
        Evaluation(model, questions, answers, found, {}),
        TASK.statistics(questions, answers)["rank"].to_numpy(),
        cosines(questions, answers),
    )
    assert [block.title for block in blocks] == ["Ranks", "Queries", "Worst queries", "Near texts", "Map", "Attention"]
    assert sum(blocks[0].values) == (questions["role"] == "query").sum()


def test_vectors_do_not_depend_on_order_and_cover_unusual_texts(made):
    model = load_model(Checkpoint(made["checkpoint"]))
    texts = ["", "apple old", "\N{SNOWMAN}\x00", "river " * 500]
    found = np.array(TASK.predict(model, texts)["prediction"].tolist())
    assert found.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
    backwards = np.array(TASK.predict(model, texts[::-1])["prediction"].tolist())
    np.testing.assert_allclose(backwards[::-1], found, atol=2e-5)
    assert len(TASK.predict(model, [])) == 0


def test_unsuitable_corpus_and_options_are_refused(tmp_path, made):
    with pytest.raises(TrainingError, match=r"no pairs; retrieval needs .*set target_column.*pairs: halves"):
        TASK.settings(Corpus(make_corpus(tmp_path)), {})
    with pytest.raises(TrainingError, match="options of retrieval: temperature"):
        TASK.settings(Corpus(made["corpus"]), {"temperature": 0})
    assert TASK.settings(Corpus(made["corpus"]), {"projection": 16})["projection"] == 16


# Ranks


def asked(vectors, expected):
    """Two queries and three texts, with these vectors."""
    questions = pd.DataFrame(
        {
            "id": ["a", "b", "a", "b", "c"],
            "role": ["query"] * 2 + ["text"] * 3,
            "expected": [*map(json.dumps, expected), "", "", ""],
        }
    )
    return questions, pd.DataFrame({"prediction": pd.Series(vectors, dtype=object)})


def test_ranks_match_hand_calculation():
    vectors = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]]
    statistics = TASK.statistics(*asked(vectors, [["a"], ["b"]]))
    assert statistics["rank"].tolist()[:2] == [2.0, 3.0]
    assert statistics["rank"].isna().tolist() == [False, False, True, True, True]
    scores = TASK.metrics(statistics)
    assert scores == {"mrr_at_10": pytest.approx((1 / 2 + 1 / 3) / 2), "recall_at_1": 0.0, "recall_at_10": 1.0}
    assert TASK.statistics(*asked(vectors, [["a", "b"], ["c"]]))["rank"].tolist()[:2] == [1.0, 1.0]
    assert TASK.metrics(statistics.iloc[2:])["mrr_at_10"] == 0, "a sample without a query"


def test_sample_of_questions_has_the_texts_that_its_queries_expect(made):
    questions = TASK.questions(Corpus(made["corpus"]), "test", {})
    for count in (1, 20, 60, 10_000):
        sample = TASK.sample(questions, count)
        queries, texts = sample[sample["role"] == "query"], sample[sample["role"] == "text"]
        expected = {i for ids in queries["expected"] for i in json.loads(ids)}
        assert expected <= set(texts["id"])
        assert len(queries) >= 1
        assert len(sample) <= max(count, len(queries) + len(expected))
    assert len(sample) == len(questions)


def test_text_with_equal_score_ranks_last():
    assert TASK.statistics(*asked([[1.0, 0.0]] * 5, [["a"], ["b"]]))["rank"].tolist()[:2] == [3.0, 3.0]


def test_ranks_of_listed_ids_match_hand_calculation():
    answers = [json.dumps(["c", "a"]), json.dumps([]), "", "", ""]
    statistics = TASK.statistics(*asked(answers, [["a"], ["b"]]))
    assert statistics["rank"].tolist()[:2] == [2.0, np.inf]
    assert TASK.metrics(statistics)["mrr_at_10"] == 1 / 4


def test_bm25_and_tf_idf_match_hand_calculation():
    texts = ["getItem of a list", "a list", "nothing here"]
    assert words_of("HTTPServer2 get_item") == ["http", "server", "2", "get", "item"]
    for method in (bm25, tf_idf):
        found = [places.tolist() for places in method(["item", "list", "unknown"], texts, 2)]
        assert found == [[0], [1, 0], []], method
