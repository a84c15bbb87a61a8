"""Span corruption: the loss is that of the spans which the generator draws; they can be learnt; seq2seq takes it over."""

import numpy as np
import pytest

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.chance import generator_of
from models.config import ModelConfig
from models.decoding import Hypothesis
from models.torch.decoding import requests
from tasks import load
from tasks.encoder_decoder import ask_targets
from tasks.model import load_model
from tasks.span_corruption.corruption import corrupt
from tasks.span_corruption.task import TASK
from tests import networks
from tests.networks import ask, row_losses, terms_of
from tests.small_corpus import make_tokenizer, train
from tests.small_pairs import make_pairs, pairs
from training.batches import Examples

NOTHING = Hypothesis((), -0.1, -0.1, True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("spans")
    corpus = make_pairs(root, pairs(300))
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus, vocab_size=300)}
    return inputs | {"checkpoint": train(root, "pretrain", inputs, task="span_corruption", max_updates=2)}


@pytest.fixture
def model(made):
    return load_model(Checkpoint(made["checkpoint"]))


def test_loss_covers_spans_drawn_by_generator(made, model):
    batch = TASK.examples(Corpus(made["corpus"]), model.tokenizer, "train", {}, model.config).batch(np.arange(6))
    question = ask(TASK, model.config, batch, seed=3)
    whole, rows = terms_of(TASK, model.network, question), row_losses(TASK, model.network, question)
    generator, each, counts = generator_of(3), [], []
    for number, (ids, mask) in enumerate(zip(batch.input_ids, batch.attention_mask, strict=True)):
        source, target = corrupt(ids[mask][1:-1].tolist(), generator, Tokenizer.mask_id)
        given, wanted = np.array([[2, *source, 3]]), np.array([[2, *target, 3]])
        np.testing.assert_array_equal(question.inputs["input_ids"][number, : given.shape[1]], given[0])
        np.testing.assert_array_equal(question.labels[question.rows == number], wanted[0, 1:])
        alone = ask_targets(given, np.ones(given.shape, bool), wanted, np.ones(wanted.shape, bool))
        assert "attention_mask" not in alone.inputs
        each.append(model.network.nats(alone).sum())
        counts.append(len(target) + 1)
    assert not question.inputs["attention_mask"].all()
    np.testing.assert_allclose(rows.total, each, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(whole.each.sum().item(), rows.total.sum(), rtol=1e-5)
    assert rows.targets.tolist() == counts
    assert len(question.places) == sum(counts)
    other = row_losses(TASK, model.network, ask(TASK, model.config, batch, seed=4))
    assert other.total.sum() != rows.total.sum()


def test_repeated_text_is_learned_for_any_span():
    config = ModelConfig(d_model=32, d_ff=64, num_heads=2, num_layers=1, max_length=24, vocab_size=40)
    network = networks.new_network(TASK, config, std=config.initializer_std)
    backend = networks.new_backend(TASK, network, seed=0)
    batch = Examples.of([[2, *range(10, 28), 3]] * 16, ["row"] * 16, 0).batch(np.arange(16))
    losses = [
        backend.update([ask(TASK, config, batch, seed=number, training=True)], number, 0.01).loss
        for number in range(120)
    ]
    assert losses[0] > 3
    assert np.mean(losses[-10:]) < 0.2


@pytest.fixture
def answer(monkeypatch):
    """Have each source answered by the same hypothesis; the inputs that were asked are noted."""

    def put(hypothesis):
        asked = []

        def decode(_, inputs, *__):
            asked.append(inputs)
            return [[hypothesis] for _ in inputs["input_ids"]]

        monkeypatch.setattr(requests, "decode", decode)
        return asked

    return put


def test_predicted_word_is_between_first_two_mask_tokens(model, answer):
    encode, mask = model.tokenizer.encode, Tokenizer.mask_id
    answer(Hypothesis((mask, *encode("river"), mask, *encode("stone")), -0.5, -0.5, True))
    answers = TASK.predict(model, ["a [MASK] b [MASK]", "nothing asked", "", "[MASK]" * 300])
    assert answers["prediction"].tolist() == ["river", "", "", "river"]
    assert answers["probability"].tolist() == [0.606531, 0.0, 0.0, 0.606531]


def test_mask_far_from_text_start_stays_in_input(model, answer):
    asked = answer(NOTHING)
    TASK.predict(model, ["river " * 80 + "[MASK]", "river [MASK]" + " stone" * 80])
    ids = np.concatenate([inputs["input_ids"] for inputs in asked])
    assert (ids == Tokenizer.mask_id).sum(1).tolist() == [1, 1]
    assert len(TASK.predict(model, [])) == 0


def test_fine_tuning_reuses_encoder_and_decoder(made, tmp_path):
    tuned = Checkpoint(train(tmp_path, "finetune", made, task="seq2seq", max_updates=1, learning_rate=1e-9))
    weights = tuned.weights()
    assert {name.partition(".")[0] for name in weights} == {"encoder", "decoder"}
    for name, value in Checkpoint(made["checkpoint"]).weights().items():
        np.testing.assert_allclose(weights[name], value, atol=1e-6)
    assert tuned.pretraining


def test_questions_and_metrics_match_masked_lm(made, model):
    corpus = Corpus(made["corpus"])
    questions = TASK.questions(corpus, "test", {})
    assert questions.equals(load("masked_lm").questions(corpus, "test", {}))
    answers = TASK.predict(model, questions["text"].tolist())
    assert set(TASK.metrics(TASK.statistics(questions, answers))) == {TASK.primary_metric}
