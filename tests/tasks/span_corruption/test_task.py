"""Span corruption: the loss is that of the spans which the generator draws; they can be learnt; seq2seq takes it over."""

import numpy as np
import pytest
import torch

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from models.torch import initialize
from models.torch.decoding import search
from models.torch.decoding.hypothesis import Hypothesis
from tasks import load
from tasks.encoder_decoder import target_losses
from tasks.model import load_model
from tasks.span_corruption.corruption import corrupt
from tasks.span_corruption.task import TASK
from tests.small_corpus import make_tokenizer, train
from tests.small_pairs import make_pairs, pairs
from training.batches import Examples
from training.torch.backend import TorchBackend

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


def test_the_loss_is_that_of_the_spans_which_the_generator_draws(made, model):
    batch = TASK.examples(Corpus(made["corpus"]), model.tokenizer, "train", {}, model.config).batch(np.arange(6))
    found, rows = (ask(model.network, batch, torch.Generator().manual_seed(3)) for ask in (TASK.loss, TASK.row_losses))
    generator, each = torch.Generator().manual_seed(3), []
    for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True):
        source, target = corrupt(ids[mask][1:-1].tolist(), generator, Tokenizer.mask_id)
        given, wanted = torch.tensor([[2, *source, 3]]), torch.tensor([[2, *target, 3]])
        loss, _ = target_losses(
            model.network, given, torch.ones_like(given).bool(), wanted, torch.ones_like(wanted).bool()
        )
        each.append(loss.sum())
    torch.testing.assert_close(rows.total, torch.stack(each), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.total, rows.total.sum())
    assert found.targets == rows.targets.sum()
    assert TASK.loss(model.network, batch, torch.Generator().manual_seed(4)).total != found.total


def test_a_text_seen_often_is_written_wherever_it_is_torn():
    config = ModelConfig(d_model=32, d_ff=64, num_heads=2, num_layers=1, max_length=24, vocab_size=40)
    network = TASK.network(config, {})
    initialize(network, config, torch.Generator().manual_seed(0))
    backend = TorchBackend(network, TASK.loss, seed=0, weight_decay=0.0, clip=1.0)
    batch = Examples.of([[2, *range(10, 28), 3]] * 16, ["row"] * 16, 0).batch(np.arange(16))
    losses = [backend.update(batch, number, 0.01).loss for number in range(120)]
    assert losses[0] > 3
    assert np.mean(losses[-10:]) < 0.2


def test_a_word_is_what_stands_between_the_first_mark_and_the_next(model, monkeypatch):
    encode, mask = model.tokenizer.encode, Tokenizer.mask_id
    written = (mask, *encode("river"), mask, *encode("stone"))
    monkeypatch.setattr(
        search, "decode", lambda begun, *_: [[Hypothesis(written, -0.5, -0.5, True)] for _ in begun.keys]
    )
    answers = TASK.predict(model, ["a [MASK] b [MASK]", "nothing asked", "", "[MASK]" * 300])
    assert answers["prediction"].tolist() == ["river", "", "", "river"]
    assert answers["probability"].tolist() == [0.606531, 0.0, 0.0, 0.606531]


def test_a_mark_far_from_the_beginning_is_still_seen(model, monkeypatch):
    seen = []
    monkeypatch.setattr(search, "decode", lambda begun, *_: seen.extend(begun.keys) or [[NOTHING] for _ in begun.keys])
    TASK.predict(model, ["river " * 80 + "[MASK]", "river [MASK]" + " stone" * 80])
    assert [ids.count(Tokenizer.mask_id) for ids in seen] == [1, 1]
    assert len(TASK.predict(model, [])) == 0


def test_fine_tuning_takes_over_encoder_and_decoder(made, tmp_path):
    tuned = Checkpoint(train(tmp_path, "finetune", made, task="seq2seq", max_updates=1, learning_rate=1e-9))
    weights = tuned.weights()
    assert {name.partition(".")[0] for name in weights} == {"encoder", "decoder"}
    for name, value in Checkpoint(made["checkpoint"]).weights().items():
        np.testing.assert_allclose(weights[name], value, atol=1e-6)
    assert tuned.pretraining is not None


def test_questions_and_metrics_are_those_of_the_masked_language_model(made, model):
    corpus = Corpus(made["corpus"])
    questions = TASK.questions(corpus, "test", {})
    assert questions.equals(load("masked_lm").questions(corpus, "test", {}))
    answers = TASK.predict(model, questions["text"].tolist())
    assert set(TASK.metrics(TASK.statistics(questions, answers))) == {TASK.primary_metric}
