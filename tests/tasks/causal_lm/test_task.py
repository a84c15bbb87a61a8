"""The causal-LM task: all text is learnt once, scored once, continued, and compared with simple models of bytes."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from artifacts import Output
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.report import Report
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from models.question import Question
from models.torch.objectives import sum_by_row
from steps.step import load_step
from tasks.answers import softmax
from tasks.causal_lm.scoring import token_nats
from tasks.causal_lm.task import TASK
from tasks.model import Model, load_model
from telemetry import Observe
from tests import networks
from tests.networks import ask, row_losses, terms_of
from tests.prepared import prepare, sentences
from tests.small_corpus import make_corpus, make_tokenizer, train
from training import validation
from training.batches import Examples
from training.errors import TrainingError

evaluate = load_step("evaluate")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    corpus = make_corpus(tmp_path_factory.mktemp("corpus"), rows=200)
    return {"corpus": corpus, "tokenizer": make_tokenizer(tmp_path_factory.mktemp("tokenizer"), corpus)}


@pytest.fixture(scope="module")
def corpus(inputs):
    return Corpus(inputs["corpus"])


@pytest.fixture(scope="module")
def tokenizer(inputs):
    return Tokenizer(inputs["tokenizer"].path)


@pytest.fixture
def model(tokenizer):
    config = ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=2, max_length=24, vocab_size=tokenizer.vocab_size)
    return Model(networks.new_network(TASK, config), tokenizer, config, "causal_lm", {})


@pytest.fixture(scope="module")
def trained(tmp_path_factory, inputs):
    options = {"task": "causal_lm", "max_length": 48, "d_model": 32, "max_updates": 60, "learning_rate": 0.02,
               "evaluate_every": 60, "initializer_std": 0.1}  # fmt: skip
    return train(tmp_path_factory.mktemp("trained"), "pretrain", inputs, **options)


def test_examples_cover_each_token_and_end_of_split_once(corpus, tokenizer):
    made = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24))
    assert made.lengths.max() == 24
    for row in corpus.rows("train"):
        parts = [made.inputs[i] for i, name in enumerate(made.ids) if name == row["id"]]
        assert {part[0] for part in parts} == {tokenizer.cls_id}
        learnt = np.concatenate([part[1:] for part in parts]).tolist()
        assert learnt == [*tokenizer.encode(row["text"]), tokenizer.sep_id]


def test_parts_of_row_are_rebuilt_from_that_row_alone(corpus, tokenizer):
    config = ModelConfig(max_length=24)
    made = TASK.examples(corpus, tokenizer, "train", {}, config)
    chosen = [made.ids[40], made.ids[3]]
    some = TASK.examples(corpus.only(chosen), tokenizer, "train", {}, config)
    whole = {
        (row, part): made.inputs[i].tolist() for i, (row, part) in enumerate(zip(made.ids, made.parts, strict=True))
    }
    assert set(some.ids) == set(chosen)
    for place, key in enumerate(zip(some.ids, some.parts, strict=True)):
        assert some.inputs[place].tolist() == whole[key]


def test_document_parts_are_consecutive_with_one_end(tmp_path, tokenizer):
    (tmp_path / "texts").mkdir()
    texts = ["\n\n".join(sentences(8 + n % 3, seed=n)) for n in range(30)]
    for n, text in enumerate(texts):
        (tmp_path / "texts" / f"{n:02d}.txt").write_text(f"document {n}: {text}\n")
    made = prepare(tmp_path, tmp_path / "texts" / "*.txt", rows="file", max_characters=300)
    learnt = TASK.examples(Corpus(made), tokenizer, "train", {}, ModelConfig(max_length=24))
    ends = [name for name, sequence in zip(learnt.ids, learnt.inputs, strict=True) if sequence[-1] == tokenizer.sep_id]
    documents = list(dict.fromkeys(name.partition("#")[0] for name in learnt.ids))
    assert [name.partition("#")[0] for name in ends] == documents
    for document in documents[:5]:
        parts = [part[1:] for name, part in zip(learnt.ids, learnt.inputs, strict=True) if name.startswith(document)]
        text = tokenizer.decode([token for part in parts for token in part.tolist() if token != tokenizer.sep_id])
        assert text == f"document {int(document[:2])}: {texts[int(document[:2])]}"


def test_loss_is_next_token_cross_entropy_summed_over_rows(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(12))
    assert not batch.attention_mask.all()
    question = ask(TASK, model.config, batch)
    whole, each = terms_of(TASK, model.network, question), row_losses(TASK, model.network, question)
    np.testing.assert_allclose(each.total.sum(), whole.each.sum().item(), rtol=1e-5)
    assert each.targets.tolist() == (batch.attention_mask.sum(1) - 1).tolist()
    assert len(question.places) == each.targets.sum()
    for row in range(12):  # the long way: each row alone, without padding
        ids = batch.input_ids[row, batch.attention_mask[row]].astype(np.int64)
        np.testing.assert_array_equal(question.labels[question.rows == row], ids[1:])
        places = np.arange(len(ids) - 1)
        alone = Question({"input_ids": ids[None]}, places, ids[1:], np.zeros_like(places))
        likely = softmax(model.network.logits(alone))[places, ids[1:]]
        np.testing.assert_allclose(each.total[row], -np.log(likely).sum(), atol=1e-4, rtol=1e-5)


def test_row_loss_has_no_gradient_in_other_rows(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(12))
    embedding = model.network.module.decoder.embedding
    vectors = embedding(torch.from_numpy(batch.input_ids[:, :-1]), torch.arange(23)[None])
    vectors = vectors.detach().requires_grad_()
    embedding.forward = lambda *_: vectors
    question = ask(TASK, model.config, batch)
    total = sum_by_row(terms_of(TASK, model.network, question), question.batch_size)[0]
    (gradient,) = torch.autograd.grad(total, vectors)
    seen = gradient.abs().sum(-1)
    assert (seen[1:] == 0).all()
    length = int(batch.attention_mask[0].sum())
    assert (seen[0, : length - 1] > 0).all()
    assert (seen[0, length - 1 :] == 0).all(), "padding has no part in it"


def test_predict_continues_and_scores_texts_independently_of_batch(model):
    texts = ["the river", "", "cloud copper " * 40, "a \N{SNOWMAN}\x00\n"]
    answers = TASK.predict(model, texts, method="sample", max_new_tokens=6)
    assert list(answers.columns) == ["prediction", "probability", "nats", "bytes", "tokens"]
    assert answers["bytes"].tolist() == [len(text.encode()) for text in texts]
    assert answers["tokens"].tolist() == [len(model.tokenizer.encode(text)) + 1 for text in texts]
    alone = pd.concat([TASK.predict(model, [text], method="sample", max_new_tokens=6) for text in texts])
    assert alone["prediction"].tolist() == answers["prediction"].tolist()
    np.testing.assert_allclose(alone["nats"], answers["nats"], rtol=1e-5)
    several = TASK.predict(model, texts, method="beam", n_best=2, max_new_tokens=6)
    assert {"prediction_2", "probability_2"} <= set(several.columns)
    assert len(TASK.predict(model, [])) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"topp": 0.5}, "options of causal_lm: topp: .*; its options: method, max_new_tokens, n_best, seed"),
        ({"method": "guess"}, "method: Input should be 'greedy', 'beam' or 'sample'"),
        ({"max_new_tokens": 23}, "max_new_tokens=23, but the model reads 24 tokens"),
        ({"n_best": 3}, "greedy decoding makes one"),
    ],
)
def test_invalid_predict_options_are_refused(model, options, told):
    with pytest.raises(TrainingError, match=told):
        TASK.predict(model, ["a"], **options)


def test_metrics_include_perplexity_only_with_token_counts():
    questions = pd.DataFrame({"text": ["ab", "\N{SNOWMAN}", ""]})
    answers = pd.DataFrame({"nats": np.array([6, 9, 0]) * math.log(2), "tokens": [2, 2, 1]})
    found = TASK.metrics(TASK.statistics(questions, answers))
    assert found == {"bits_per_byte": pytest.approx(3.0), "perplexity_per_token": pytest.approx(8.0)}
    assert list(TASK.metrics(TASK.statistics(questions, answers[["nats"]]))) == ["bits_per_byte"]


def test_questions_are_taken_evenly(corpus, monkeypatch):
    assert len(TASK.questions(corpus, "test", {})) == corpus.count("test")
    monkeypatch.setattr("tasks.causal_lm.task._QUESTIONS", 3)
    ids = [row["id"] for row in corpus.rows("test", ["id"])]
    last = len(ids) - 1
    assert TASK.questions(corpus, "test", {})["id"].tolist() == [ids[0], ids[round(last / 2)], ids[last]]


def test_trained_model_beats_byte_frequency_baseline(inputs, trained, corpus):
    """Words that go together: far under the unigram of bytes; what it makes is words of the corpus."""
    some = load_model(Checkpoint(trained))
    questions = TASK.questions(corpus, "test", {})
    baselines = TASK.baselines(corpus, questions, {}, 1, Observe.silent())
    bits = {name: TASK.metrics(TASK.statistics(questions, found))["bits_per_byte"] for name, found in baselines.items()}
    own = TASK.metrics(TASK.statistics(questions, TASK.predict(some, questions["text"].tolist(), max_new_tokens=1)))
    assert own["bits_per_byte"] < 0.75 * bits["bytes by frequency"]
    assert bits["6-gram of bytes (Witten-Bell)"] < bits["bytes by frequency"] < 8


def test_pretraining_in_blocks_counts_padding_and_validates_rows(tmp_path, inputs, corpus, tokenizer):
    options = {"task": "causal_lm", "max_length": 48, "packing": True, "shards": 2}
    made = Checkpoint(train(tmp_path, "pretrain", inputs, **options))
    packing = made.history["packing"]
    assert packing["texts"] == len(TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=48)))
    assert packing["blocks"] < packing["texts"]
    rows = TASK.examples(corpus, tokenizer, "validation", {}, ModelConfig(max_length=48)).spread(20)
    backend = networks.new_backend(TASK, load_model(made).network)
    evaluated = validation.evaluate(backend, partial(TASK.ask, load_model(made).config, {}), rows, 512, 1)
    assert evaluated == pytest.approx(made.history["best_loss"], rel=1e-6)


def test_model_overfits_a_single_text(tokenizer, model):
    text = "the cloud of copper and the river bank"
    ids = [2, *tokenizer.encode(text), 3][:24]
    question = ask(TASK, model.config, Examples.of([ids], ["row"], 0).batch(np.arange(1)))
    backend = networks.new_backend(TASK, model.network)
    for number in range(60):
        backend.update([question], number, 0.02)
    begun = tokenizer.decode(ids[:4])
    assert begun + TASK.predict(model, [begun], max_new_tokens=20)["prediction"][0] == tokenizer.decode(ids)
    assert token_nats(model, [text])[0][:20].max() < 0.5


def test_recurrent_decoder_predicts_independently_of_batch(tmp_path, inputs, tokenizer):
    options = {"task": "causal_lm", "network": "recurrent", "cell": "lstm", "max_length": 24}
    some = load_model(Checkpoint(train(tmp_path, "pretrain", inputs, **options)))
    texts = ["the river bank", "", "cloud " * 30]
    together = TASK.predict(some, texts, method="sample", max_new_tokens=6)
    alone = pd.concat([TASK.predict(some, [text], method="sample", max_new_tokens=6) for text in texts])
    assert alone["prediction"].tolist() == together["prediction"].tolist()
    assert np.isfinite(together["nats"]).all()


def test_report_shows_samples_surprising_tokens_and_attention(tmp_path, inputs, trained):
    asked = {**inputs, "checkpoint": trained}
    config = evaluate.Config(
        **{name: str(made.path) for name, made in asked.items()},
        task="causal_lm",
        bootstrap_samples=20,
        options={"prompt_tokens": 8, "max_new_tokens": 8},
    )
    output = Output("report", tmp_path / "work", step="evaluate", parents=asked, root=tmp_path)
    evaluate.run(config, asked, output, Observe.silent())
    report = output.commit()
    scores = Report(report).scores
    assert scores["primary_metric"] == "bits_per_byte"
    assert scores["higher_is_better"] is False
    assert set(scores["metrics"]) == {"bits_per_byte", "perplexity_per_token"}
    assert {tuple(found) for found in scores["baselines"].values()} == {("bits_per_byte",)}
    page = report.sidecar("report.html").read_text(encoding="utf-8")
    for told in ("Samples", "sampled, top-p 0.9", "Loss by position", "Surprising tokens", 'class="shade"', "Worst texts",
                 "layer 1, head 2", "LZMA", "none"):  # fmt: skip
        assert told in page, told
