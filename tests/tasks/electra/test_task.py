"""Replaced token detection: what is drawn, what counts as replaced, and which network learns from which loss."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import Architecture, ModelConfig
from models.parameters import masked_lm_head, replaced_token_head
from models.torch import initialize
from tasks.electra.detection import detect, generator_config
from tasks.electra.task import TASK
from tasks.evaluation import Evaluation
from tasks.masked_lm.task import TASK as MASKED_LM
from tasks.model import Model
from tasks.starting_weights import BODY
from telemetry import Observe
from tests import small_training
from tests.small_corpus import make_corpus, make_tokenizer
from training.errors import TrainingError
from training.torch.backend import TorchBackend


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(make_corpus(tmp_path_factory.mktemp("corpus"), rows=200))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, corpus):
    return Tokenizer(make_tokenizer(tmp_path_factory.mktemp("tokenizer"), corpus.artifact).path)


@pytest.fixture
def config(tokenizer):
    return ModelConfig(d_model=32, d_ff=64, num_heads=2, num_layers=2, max_length=24, vocab_size=tokenizer.vocab_size)


@pytest.fixture
def network(config):
    return made(config)


@pytest.fixture
def batch(corpus, tokenizer, config):
    return TASK.examples(corpus, tokenizer, "train", {}, config).batch(np.arange(0, 40, 4))


def made(config, **options):
    network = TASK.network(config, options)
    initialize(network, config.with_changes({"initializer_std": 0.3}), torch.Generator().manual_seed(0))
    return network.eval()


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def own(part):
    """A generator's parameters but for the vectors that it shares."""
    shared = ("embedding.tokens", "embedding.positions")
    return {name: p for name, p in part.named_parameters() if not name.startswith(shared)}


def test_a_token_is_replaced_where_another_one_was_drawn(network, batch):
    found = detect(network, batch, seeded())
    there = torch.from_numpy(batch.input_ids)
    assert torch.equal(found.replaced, found.corrupted != there)
    assert set(found.replaced.flatten().nonzero().squeeze(1).tolist()) <= set(found.positions.tolist())
    assert torch.equal(found.labels, there.flatten()[found.positions])
    assert not (found.corrupted == Tokenizer.mask_id).any(), "the discriminator sees no mask"
    assert (found.corrupted.flatten()[found.positions] >= Tokenizer.first_id).all()
    assert 0 < found.replaced.sum() <= len(found.positions) == round(0.15 * int((batch.input_ids >= 5).sum()))


def test_what_the_generator_guesses_right_is_no_replacement(network, batch):
    """A generator that is sure of one token: where that token was, nothing is replaced."""
    token = int(np.bincount(batch.input_ids[batch.input_ids >= 5]).argmax())
    with torch.no_grad():
        network["generator_head"].bias[token] = 1e4
    found = detect(network, batch, seeded())
    assert (found.corrupted.flatten()[found.positions] == token).all()
    right = found.positions[found.labels == token]
    assert len(right)
    assert not found.replaced.flatten()[right].any()
    assert found.replaced.sum() == len(found.positions) - len(right)


def test_the_loss_is_that_of_the_paper(network, batch):
    loss, found = TASK.loss(network, batch, seeded()), detect(network, batch, seeded())
    words = cross_entropy(found.filled, found.labels)
    tokens = binary_cross_entropy_with_logits(found.logits[found.real], found.replaced[found.real].float())
    torch.testing.assert_close(loss.total / loss.targets, words + 50 * tokens)
    each = TASK.row_losses(network, batch, seeded())
    torch.testing.assert_close(each.total.sum(), loss.total)
    assert (each.targets.sum(), len(each.total)) == (loss.targets, len(batch.rows))


def test_the_discriminators_loss_teaches_the_generator_nothing(network, batch):
    found = detect(network, batch, seeded())
    generator = [*own(network["generator"]).values(), *own(network["generator_head"]).values()]
    gradients = torch.autograd.grad(found.tokens().sum(), generator, allow_unused=True, retain_graph=True)
    assert all(gradient is None for gradient in gradients)
    gradients = torch.autograd.grad(found.words().sum(), generator)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_the_generators_loss_teaches_the_discriminator_nothing_but_the_vectors_they_share(network, batch):
    found, encoder = detect(network, batch, seeded()), network["encoder"]
    mine = {name: p for name, p in encoder.named_parameters() if not name.startswith("embedding.")}
    gradients = torch.autograd.grad(found.words().sum(), list(mine.values()), allow_unused=True, retain_graph=True)
    assert all(gradient is None for gradient in gradients)
    shared = [encoder.embedding.tokens.weight, encoder.embedding.positions.weight]
    for loss in (found.words(), found.tokens()):
        assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss.sum(), shared, retain_graph=True))


def test_padding_has_no_part_in_it(network, corpus, tokenizer, config):
    examples = TASK.examples(corpus, tokenizer, "train", {}, config)
    order = np.argsort(examples.lengths, kind="stable")
    batch = examples.batch(order[[0, -1]])
    assert not batch.attention_mask.all()
    found = detect(network, batch, seeded())
    assert (found.tokens()[~found.real] == 0).all()
    assert not found.replaced[~found.real].any()


def test_parameters_are_shared_named_once_and_taken_over(network, config):
    names = dict(network.named_parameters())
    assert network["generator"].embedding.tokens is network["encoder"].embedding.tokens
    assert not [
        name for name in names if name.startswith(("generator.embedding.tokens", "generator.embedding.positions"))
    ]
    assert {name.partition(".")[0] for name in names} & set(BODY) == {"encoder"}, "what finetune takes over"
    small = generator_config(config, 0.25)
    assert (small.d_model, small.num_heads, small.d_ff, small.num_layers, small.d_embedding) == (16, 1, 16, 2, 32)
    for part, shapes in (("head", replaced_token_head(config)), ("generator_head", masked_lm_head(small))):
        assert {name: tuple(p.shape) for name, p in network[part].named_parameters()} == shapes
    assert generator_config(config, 1.0) == config.with_changes({"d_embedding": 0})


@pytest.mark.parametrize(
    "changes",
    [{"d_embedding": 8}, {"positions": "rope", "num_kv_heads": 1}, {"window": 4, "norm": "post", "token_types": 2}],
)
def test_other_encoders_too(config, batch, changes):
    network = made(config.with_changes(changes), generator_size=0.5)
    loss = TASK.loss(network, batch, seeded())
    loss.total.backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for name, p in network.named_parameters() if "types" not in name
    )


def test_it_learns_to_tell_real_from_replaced(config, corpus, tokenizer):
    network, examples = made(config), TASK.examples(corpus, tokenizer, "train", {}, config)
    initialize(network, config, torch.Generator().manual_seed(0))
    backend = TorchBackend(network, TASK.loss, seed=1, weight_decay=0.0, clip=1.0)
    batch = examples.batch(np.arange(8))
    losses = [backend.update(batch, number % 4, 3e-3).loss for number in range(60)]
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])


def test_stopped_and_resumed_it_ends_with_the_same_bytes(tmp_path):
    def backend():
        return TorchBackend(made(small_training.CONFIG).train(), TASK.loss, seed=3, weight_decay=0.01, clip=1.0)

    whole = small_training.train(tmp_path / "whole", chosen=backend())
    broken = small_training.Hooked(backend(), small_training.raising_at(13))
    with pytest.raises(RuntimeError, match="power cut"):
        small_training.train(tmp_path / "broken", chosen=broken)
    assert small_training.same(whole, small_training.train(tmp_path / "broken", chosen=backend()))


# Evaluation


def test_questions_replace_one_word_by_one_that_the_text_lacks(corpus):
    questions = TASK.questions(corpus, "test", {})
    assert questions.equals(TASK.questions(corpus, "test", {}))
    texts = {row["id"]: row["text"] for row in corpus.rows("test")}
    assert len(questions) > 0.9 * len(texts)
    for row_id, text, strange in questions[["id", "text", "expected"]].itertuples(index=False):
        was, now = texts[row_id].split(), text.split()
        changed = [(a, b) for a, b in zip(was, now, strict=True) if a != b]
        assert [b for _, b in changed] == [strange]
        assert strange not in was


def test_predict_names_a_word_of_each_text_whatever_its_batch(network, tokenizer, config):
    model = Model(network, tokenizer, config, "electra", {})
    texts = ["bada kuto river", "", "12 + 34", "the of and " * 30]
    answers = TASK.predict(model, texts)
    assert list(answers.columns) == ["prediction", "probability"]
    assert answers["prediction"].tolist()[1:3] == ["", ""]
    for text, answer, probability in zip(texts, answers["prediction"], answers["probability"], strict=True):
        assert answer in text.split() or not answer
        assert 0 <= probability <= 1
    alone = pd.concat([TASK.predict(model, [text]) for text in texts], ignore_index=True)
    assert alone["prediction"].tolist() == answers["prediction"].tolist()
    assert len(TASK.predict(model, [])) == 0
    with pytest.raises(TrainingError, match="options of electra: x"):
        TASK.predict(model, texts, x=1)


def test_metrics_baselines_and_report(network, corpus, tokenizer, config):
    model, questions = Model(network, tokenizer, config, "electra", {}), TASK.questions(corpus, "test", {})
    predictions = TASK.predict(model, questions["text"].tolist())
    share = float((predictions["prediction"] == questions["expected"]).mean())
    assert TASK.metrics(TASK.statistics(questions, predictions)) == {"accuracy": share}
    baselines = TASK.baselines(corpus, questions, {}, 1, Observe.silent())
    assert list(baselines) == ["the rarest word", "any word"]
    for answers in baselines.values():
        assert all(word in text for word, text in zip(answers["prediction"], questions["text"], strict=True))
    blocks = TASK.report(Evaluation(model, questions, predictions, baselines, {}))
    assert [block.title for block in blocks] == ["Sure and right", "Examples", "Attention"]
    assert sum(row[1] for row in blocks[0].rows) == len(questions)


def test_examples_are_those_of_the_masked_language_model(corpus, tokenizer, config):
    ours, theirs = (task.examples(corpus, tokenizer, "train", {}, config) for task in (TASK, MASKED_LM))
    assert np.array_equal(ours.inputs.values, theirs.inputs.values)


def test_bad_choices_are_one_line(corpus, tokenizer):
    with pytest.raises(TrainingError, match="network=recurrent has no smaller generator"):
        TASK.config(Architecture(network="recurrent"), tokenizer, {})
    with pytest.raises(TrainingError, match="options of electra: generator_size"):
        TASK.settings(corpus, {"generator_size": 2})
