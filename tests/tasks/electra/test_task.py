"""Replaced token detection: what is drawn, what counts as replaced, and which network learns from which loss."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softplus

from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import Architecture, ModelConfig
from models.parameters import masked_lm_head, replaced_token_head
from models.question import Question
from tasks.answers import softmax
from tasks.electra.detection import generator_config
from tasks.electra.task import TASK
from tasks.evaluation import Evaluation
from tasks.masked_lm.task import TASK as MASKED_LM
from tasks.model import Model
from tasks.starting_weights import BODY
from telemetry import Observe
from tests import networks, small_training
from tests.networks import ask, row_losses, terms_of
from tests.small_corpus import make_corpus, make_tokenizer
from training.batches import Examples
from training.errors import TrainingError


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
    return networks.new_network(TASK, config)


@pytest.fixture
def batch(corpus, tokenizer, config):
    return TASK.examples(corpus, tokenizer, "train", {}, config).batch(np.arange(0, 40, 4))


@dataclass(frozen=True)
class Detection:
    """Answers of the two networks to a question, seen from outside: by what goes into their parts and comes out."""

    question: Question
    filled: torch.Tensor  # [M, V], the generator's logits
    corrupted: np.ndarray  # [B, T], with the tokens that were drawn
    logits: torch.Tensor  # [B, T], the discriminator's
    each: torch.Tensor  # [N], the terms of the loss
    rows: torch.Tensor  # [N]

    @property
    def real(self):
        """[B, T], True where there is a token."""
        return self.question.inputs.get("attention_mask", np.ones(self.corrupted.shape, bool))

    @property
    def words(self):
        """The generator's loss at each masked position, [M]."""
        return self.each[: len(self.question.places)]

    @property
    def tokens(self):
        """The discriminator's loss at each real token, as it is weighted."""
        return self.each[len(self.question.places) :]

    @property
    def replaced(self):
        """[B, T], for what the loss took each token: softplus(z) - y z, solved for y; False at padding."""
        z = self.logits[self.real].double()
        loss = self.tokens.double() * int(self.real.sum()) / (50 * len(self.question.places))
        marks = np.zeros(self.real.shape, bool)
        marks[self.real] = ((softplus(z) - loss) / z > 0.5).detach().numpy()
        return marks


def detect(network, config, batch, seed=5, **settings):
    """The loss of a batch, and what was computed for it."""
    question, module, seen = ask(TASK, config, batch, settings, seed=seed), network.module, {}

    def keep(name, value):
        seen[name] = value

    hooks = [
        module.generator_head.register_forward_hook(lambda _, __, out: keep("filled", out)),
        module.encoder.register_forward_pre_hook(lambda _, given: keep("corrupted", given[0].numpy())),
        module.head.register_forward_hook(lambda _, __, out: keep("logits", out)),
    ]
    terms = terms_of(TASK, network, question, settings)
    for hook in hooks:
        hook.remove()
    return Detection(question, **seen, each=terms.each, rows=terms.rows)


def own(part):
    """A generator's parameters but for the vectors that it shares."""
    shared = ("embedding.tokens", "embedding.positions")
    return {name: p for name, p in part.named_parameters() if not name.startswith(shared)}


def test_question_masks_chosen_tokens_and_keeps_originals(config, batch):
    question = ask(TASK, config, batch)
    ids, there = question.inputs["input_ids"].flatten(), batch.input_ids.flatten()
    assert (ids[question.places] == Tokenizer.mask_id).all(), "the discriminator never sees a mask that was kept"
    np.testing.assert_array_equal(question.labels, there[question.places])
    np.testing.assert_array_equal(question.more["original"], batch.input_ids)
    np.testing.assert_array_equal(np.delete(ids, question.places), np.delete(there, question.places))
    np.testing.assert_array_equal(question.rows, question.places // batch.input_ids.shape[1])
    drawn = question.more["drawn"]
    assert drawn.shape == question.places.shape
    assert 0 <= drawn.min() < 0.2 < 0.8 < drawn.max() < 1
    assert drawn.dtype == np.float32, "a float64 near 1 would be 1 in a network: beyond the last token"
    np.testing.assert_array_equal(drawn, ask(TASK, config, batch).more["drawn"])
    assert not np.array_equal(drawn[:5], ask(TASK, config, batch, seed=6).more["drawn"][:5])


def test_token_counts_as_replaced_if_different_token_is_drawn(network, config, batch):
    found = detect(network, config, batch)
    there, places = batch.input_ids, found.question.places
    np.testing.assert_array_equal(found.replaced, found.corrupted != there)
    assert set(np.flatnonzero(found.replaced).tolist()) <= set(places.tolist())
    assert not (found.corrupted == Tokenizer.mask_id).any(), "the discriminator sees no mask"
    assert (found.corrupted.flatten()[places] >= Tokenizer.first_id).all()
    assert 0 < found.replaced.sum() <= len(places) == round(0.15 * int((there >= 5).sum()))


def test_tokens_are_drawn_from_generator_probabilities(network, config, batch):
    """By hand: the first token at which the sum of the probabilities, without special tokens, passes the number drawn."""
    found = detect(network, config, batch)
    logits = found.filled.detach().numpy().copy()
    logits[:, list(config.special_ids)] = -np.inf
    sums = softmax(logits).cumsum(-1)
    drawn = (sums <= found.question.more["drawn"][:, None]).sum(-1)
    np.testing.assert_array_equal(found.corrupted.flatten()[found.question.places], drawn)


@pytest.mark.parametrize("drawn", [0.0, float(np.nextafter(np.float32(1), np.float32(0)))])
def test_extreme_random_numbers_draw_valid_tokens(network, config, batch, drawn):
    question = ask(TASK, config, batch)
    question.more["drawn"][:] = drawn
    seen = []
    hook = network.module.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].numpy()))
    assert np.isfinite(row_losses(TASK, network, question).total).all()
    hook.remove()
    tokens = seen[0].flatten()[question.places]
    assert ((tokens >= Tokenizer.first_id) & (tokens < config.vocab_size)).all()


def test_batch_without_maskable_tokens_has_zero_loss(network, config):
    batch = Examples.of([[2, 3], [2, 1, 3]], ["a", "b"], 0).batch(np.arange(2))
    losses = row_losses(TASK, network, ask(TASK, config, batch))
    assert (losses.total.tolist(), losses.targets.tolist()) == ([0, 0], [0, 0])
    update = networks.new_backend(TASK, network).update([ask(TASK, config, batch)], 0, 0.1)
    assert (update.loss, update.targets) == (0, 0)


def test_correct_generator_guess_is_no_replacement(network, config, batch):
    """A generator that is sure of one token: where that token was, nothing is replaced."""
    token = int(np.bincount(batch.input_ids[batch.input_ids >= 5]).argmax())
    with torch.no_grad():
        network.module.generator_head.bias[token] = 1e4
    found = detect(network, config, batch)
    places, labels = found.question.places, found.question.labels
    assert (found.corrupted.flatten()[places] == token).all()
    right = places[labels == token]
    assert len(right)
    assert not found.replaced.flatten()[right].any()
    assert found.replaced.sum() == len(places) - len(right)


def test_loss_matches_electra_paper(network, config, batch):
    found = detect(network, config, batch)
    words = cross_entropy(found.filled, torch.from_numpy(found.question.labels))
    replaced = torch.from_numpy(found.corrupted != batch.input_ids)[found.real]
    tokens = binary_cross_entropy_with_logits(found.logits[found.real], replaced.float())
    targets = len(found.question.places)
    torch.testing.assert_close(found.each.sum() / targets, words + 50 * tokens)
    each = row_losses(TASK, network, found.question)
    np.testing.assert_allclose(each.total.sum(), found.each.sum().item(), rtol=1e-5)
    assert (each.targets.sum(), len(each.total)) == (targets, len(batch.rows))
    lighter = {"discriminator_weight": 2.0}
    light = row_losses(TASK, network, found.question, lighter).total.sum() / targets
    assert light == pytest.approx((words + 2 * tokens).item(), rel=1e-5)
    update = networks.new_backend(TASK, network).update([found.question], 0, 0.0)
    assert (update.loss, update.targets) == (pytest.approx((words + 50 * tokens).item(), rel=1e-5), targets)


def test_row_losses_match_hand_calculation(network, config, batch):
    """Of one row by hand: its words, and its tokens with the weight that all of the batch have."""
    found, each = detect(network, config, batch), row_losses(TASK, network, ask(TASK, config, batch))
    labels, share = torch.from_numpy(found.question.labels), 50 * len(found.question.places) / found.real.sum()
    replaced = torch.from_numpy(found.corrupted != batch.input_ids).float()
    for row in range(len(batch.rows)):
        mine, there = found.question.rows == row, found.real[row]
        words = cross_entropy(found.filled[mine], labels[mine], reduction="sum")
        tokens = binary_cross_entropy_with_logits(found.logits[row, there], replaced[row, there], reduction="sum")
        assert each.total[row] == pytest.approx((words + share * tokens).item(), rel=1e-4)
        assert each.targets[row] == mine.sum()


def test_discriminator_loss_has_no_gradient_in_generator(network, config, batch):
    found, module = detect(network, config, batch), network.module
    generator = [*own(module.generator).values(), *own(module.generator_head).values()]
    gradients = torch.autograd.grad(found.tokens.sum(), generator, allow_unused=True, retain_graph=True)
    assert all(gradient is None or not gradient.any() for gradient in gradients)
    gradients = torch.autograd.grad(found.words.sum(), generator)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_generator_loss_reaches_discriminator_only_by_shared_embeddings(network, config, batch):
    found, encoder = detect(network, config, batch), network.module.encoder
    mine = [p for name, p in encoder.named_parameters() if not name.startswith("embedding.")]
    mine += network.module.head.parameters()
    gradients = torch.autograd.grad(found.words.sum(), mine, allow_unused=True, retain_graph=True)
    assert all(gradient is None or not gradient.any() for gradient in gradients)
    shared = [encoder.embedding.tokens.weight, encoder.embedding.positions.weight]
    for loss in (found.words, found.tokens):
        assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss.sum(), shared, retain_graph=True))


def test_padding_is_never_masked_and_does_not_change_logits(network, corpus, tokenizer, config):
    examples = TASK.examples(corpus, tokenizer, "train", {}, config)
    order = np.argsort(examples.lengths, kind="stable")
    batch = examples.batch(order[[0, -1]])
    assert not batch.attention_mask.all()
    found = detect(network, config, batch)
    np.testing.assert_array_equal(found.real, batch.attention_mask)
    assert len(found.each) == len(found.question.places) + batch.attention_mask.sum()
    assert np.bincount(found.rows[len(found.words) :]).tolist() == batch.attention_mask.sum(1).tolist()
    assert batch.attention_mask.flatten()[found.question.places].all(), "no mask is drawn there"
    assert not found.replaced[~found.real].any()
    for row, length in enumerate(batch.attention_mask.sum(1)):  # each row alone, without padding
        alone = network.module.encoder(torch.from_numpy(np.ascontiguousarray(found.corrupted[row : row + 1, :length])))
        torch.testing.assert_close(network.module.head(alone)[0], found.logits[row, :length], atol=1e-4, rtol=1e-4)


def test_generator_shares_embeddings_named_once(network, config):
    module = network.module
    names = network.weights()
    assert module.generator.embedding.tokens is module.encoder.embedding.tokens
    assert module.generator.embedding.positions is module.encoder.embedding.positions
    assert not [
        name for name in names if name.startswith(("generator.embedding.tokens", "generator.embedding.positions"))
    ]
    assert {name.partition(".")[0] for name in names} & set(BODY) == {"encoder"}, "what finetune takes over"
    small = generator_config(config, 0.25)
    assert (small.d_model, small.num_heads, small.d_ff, small.num_layers, small.d_embedding) == (16, 1, 16, 2, 32)
    for part, shapes in (("head", replaced_token_head(config)), ("generator_head", masked_lm_head(small))):
        assert {name: tuple(p.shape) for name, p in module.get_submodule(part).named_parameters()} == shapes
    assert generator_config(config, 1.0) == config.with_changes({"d_embedding": 0})


@pytest.mark.parametrize(
    "changes",
    [{"d_embedding": 8}, {"positions": "rope", "num_kv_heads": 1}, {"window": 4, "norm": "post", "token_types": 2}],
)
def test_encoder_variants_get_finite_gradients(config, batch, changes):
    config, settings = config.with_changes(changes), {"generator_size": 0.5}
    network = networks.new_network(TASK, config, settings)
    terms_of(TASK, network, ask(TASK, config, batch, settings), settings).each.sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all()
        for name, p in network.module.named_parameters()
        if "types" not in name
    )


def test_training_lowers_replaced_token_loss(config, corpus, tokenizer):
    network = networks.new_network(TASK, config, std=config.initializer_std)
    batch = TASK.examples(corpus, tokenizer, "train", {}, config).batch(np.arange(8))
    backend, questions = networks.new_backend(TASK, network), [ask(TASK, config, batch, seed=n) for n in range(4)]
    losses = [backend.update([questions[number % 4]], number % 4, 3e-3).loss for number in range(60)]
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])


def test_resumed_training_matches_uninterrupted_training(tmp_path):
    def backend():
        network = networks.new_network(TASK, small_training.CONFIG)
        return networks.new_backend(TASK, network, seed=3, weight_decay=0.01)

    whole = small_training.train(tmp_path / "whole", chosen=backend(), task=TASK)
    broken = small_training.Hooked(backend(), small_training.raising_at(13), TASK)
    with pytest.raises(RuntimeError, match="power cut"):
        small_training.train(tmp_path / "broken", chosen=broken)
    assert small_training.same(whole, small_training.train(tmp_path / "broken", chosen=backend(), task=TASK))


# Evaluation


def test_questions_replace_one_word_with_a_foreign_word(corpus):
    questions = TASK.questions(corpus, "test", {})
    assert questions.equals(TASK.questions(corpus, "test", {}))
    texts = {row["id"]: row["text"] for row in corpus.rows("test")}
    assert len(questions) > 0.9 * len(texts)
    for row_id, text, strange in questions[["id", "text", "expected"]].itertuples(index=False):
        was, now = texts[row_id].split(), text.split()
        changed = [(a, b) for a, b in zip(was, now, strict=True) if a != b]
        assert [b for _, b in changed] == [strange]
        assert strange not in was


def test_predict_names_word_of_each_text_independently_of_batch(network, tokenizer, config):
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


def test_evaluation_gives_accuracy_baselines_and_report(network, corpus, tokenizer, config):
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


def test_examples_match_masked_lm(corpus, tokenizer, config):
    ours, theirs = (task.examples(corpus, tokenizer, "train", {}, config) for task in (TASK, MASKED_LM))
    assert np.array_equal(ours.inputs.values, theirs.inputs.values)


def test_unsupported_network_and_options_are_refused(corpus, tokenizer):
    with pytest.raises(TrainingError, match="network=recurrent has no smaller generator"):
        TASK.config(Architecture(network="recurrent"), tokenizer, {})
    with pytest.raises(TrainingError, match="options of electra: generator_size"):
        TASK.settings(corpus, {"generator_size": 2})
