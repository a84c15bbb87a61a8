"""The masked-LM task: all text is learnt from, the loss is that of the masked positions, questions and answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.chance import generator_of
from models.config import Architecture, ModelConfig
from models.question import Question, ask_each_row
from models.torch.devices import tensors_of
from tasks.answers import softmax
from tasks.masked_lm.masking import mask_tokens
from tasks.masked_lm.segments import next_sentences
from tasks.masked_lm.task import TASK
from tasks.model import Model
from telemetry import Observe
from tests import networks
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
def model(tokenizer):
    config = ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=2, max_length=24, vocab_size=tokenizer.vocab_size)
    return Model(networks.new_network(TASK, config), tokenizer, config, "masked_lm", {})


def test_examples_cover_nearly_all_text_of_split(corpus, tokenizer):
    made = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=32))
    assert made.lengths.max() == 32
    lost = 0
    for row in corpus.rows("train"):
        parts = [made.inputs[i] for i, name in enumerate(made.ids) if name == row["id"]]
        assert all((part[0], part[-1]) == (tokenizer.cls_id, tokenizer.sep_id) for part in parts)
        inner = np.concatenate([part[1:-1] for part in parts]).tolist()
        whole = tokenizer.encode(row["text"])
        assert inner == whole[: len(inner)]
        lost += len(whole) - len(inner)
        assert len(whole) - len(inner) < 4, "a rest of a few tokens is left out"
    assert lost < 0.02 * made.lengths.sum()


def test_loss_counts_only_masked_positions(corpus, tokenizer, model):
    examples = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24))
    batch = examples.batch(np.arange(10))
    ids, mask = batch.input_ids, batch.attention_mask
    assert not mask.all()
    question = ask(TASK, model.config, batch)
    masked = mask_tokens(
        ids, mask & (ids >= 5), generator_of(5), mask_id=4, vocab_size=tokenizer.vocab_size, first_id=5
    )
    np.testing.assert_array_equal(question.inputs["input_ids"], masked.input_ids)
    np.testing.assert_array_equal(question.inputs["attention_mask"], mask)
    np.testing.assert_array_equal(question.labels, ids.flatten()[question.places])
    np.testing.assert_array_equal(question.rows, question.places // ids.shape[1])
    targets = np.full(ids.shape, -100).flatten()
    targets[masked.positions] = masked.labels
    module = model.network.module  # the long way, at every position
    memory = module.encoder(torch.from_numpy(masked.input_ids), torch.from_numpy(mask))
    logits = module.head(memory, module.encoder.embedding.tokens.weight).flatten(0, 1)
    each = cross_entropy(logits, torch.from_numpy(targets), reduction="none").view(ids.shape)
    losses = row_losses(TASK, model.network, question)
    np.testing.assert_allclose(losses.total, each.sum(1).detach().numpy(), rtol=1e-5)
    assert losses.targets.sum() == len(question.labels) == round(0.15 * int((ids >= 5).sum()))
    assert not set(question.labels.tolist()) & set(range(5)), "special tokens are not asked for"


def test_loss_can_be_computed_from_numpy_logits(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(10))
    question = ask(TASK, model.config, batch)
    likely = softmax(model.network.logits(question))
    nats = -np.log(likely[np.arange(len(question.labels)), question.labels])
    np.testing.assert_allclose(model.network.nats(question), nats, rtol=1e-5)
    by_row = np.bincount(question.rows, nats, minlength=10)
    np.testing.assert_allclose(row_losses(TASK, model.network, question).total, by_row, rtol=1e-5)


def test_row_losses_sum_to_batch_loss(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(10))
    question = ask(TASK, model.config, batch)
    whole, each = terms_of(TASK, model.network, question), row_losses(TASK, model.network, question)
    np.testing.assert_allclose(each.total.sum(), whole.each.sum().item(), rtol=1e-5)
    assert (each.targets.sum(), len(each.total), len(each.targets)) == (len(question.places), 10, 10)
    assert ((each.total > 0) == (each.targets > 0)).all()
    update = networks.new_backend(TASK, model.network).update([question], 0, 0.0)  # without dropout: the same loss
    assert update.targets == each.targets.sum()
    assert update.loss == pytest.approx(each.total.sum() / update.targets, rel=1e-5)


def test_row_loss_ignores_padding_and_other_rows(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(10))
    question = ask(TASK, model.config, batch)
    width, losses = batch.input_ids.shape[1], row_losses(TASK, model.network, question)
    for row in range(10):
        length, own = int(batch.attention_mask[row].sum()), question.rows == row
        ids = np.ascontiguousarray(question.inputs["input_ids"][row : row + 1, :length])
        alone = Question(
            {"input_ids": ids}, question.places[own] - row * width, question.labels[own], question.rows[own] - row
        )
        np.testing.assert_allclose(row_losses(TASK, model.network, alone).total, losses.total[row], rtol=1e-4)


def test_questions_ask_for_one_word_of_each_text(corpus):
    questions = TASK.questions(corpus, "test", {})
    assert questions.equals(TASK.questions(corpus, "test", {}))
    texts = {row["id"]: row["text"] for row in corpus.rows("test")}
    assert list(questions["id"]) == list(texts)
    for row_id, text, expected in questions[["id", "text", "expected"]].itertuples(index=False):
        assert text.replace("[MASK]", expected) == texts[row_id]


def test_predict_fills_mask_independently_of_batch(model):
    texts = ["bada [MASK] kuto", "no hole here", "[MASK]", "", "do " * 100 + "[MASK] fa"]
    answers = TASK.predict(model, texts)
    assert list(answers.columns) == ["prediction", "probability"]
    assert len(answers) == 5
    assert answers["prediction"][[1, 3]].tolist() == ["", ""]
    assert (answers["probability"][[0, 2, 4]] > 0).all(), "also where the mask is beyond the first max_length tokens"
    alone = pd.concat([TASK.predict(model, [text]) for text in texts], ignore_index=True)
    assert alone["prediction"].tolist() == answers["prediction"].tolist()
    np.testing.assert_allclose(alone["probability"], answers["probability"], atol=2e-6)
    assert len(TASK.predict(model, [])) == 0


def test_metric_is_accuracy_and_baseline_is_most_frequent_word(corpus):
    questions = pd.DataFrame({"expected": ["a", "b", "b", "c"]})
    assert TASK.metrics(TASK.statistics(questions, pd.DataFrame({"prediction": ["a", "b", "x", ""]}))) == {
        "accuracy": 0.5
    }
    asked = TASK.questions(corpus, "test", {})
    (baseline,) = TASK.baselines(corpus, asked, {}, 1, Observe.silent()).values()
    assert baseline["prediction"].nunique() == 1
    words = " ".join(corpus.texts("train")).split()
    assert words.count(baseline["prediction"][0]) == max(words.count(word) for word in set(words))


# The options: what BERT did, and what came after


def prepare(corpus, tokenizer, **chosen):
    """A config, settings, a network and a batch, as these options have them."""
    config = ModelConfig(
        d_model=16, d_ff=32, num_heads=2, num_layers=1, max_length=24, vocab_size=tokenizer.vocab_size, token_types=2
    )
    settings = TASK.settings(corpus, chosen)
    examples = TASK.examples(corpus, tokenizer, "train", settings, config)
    return config, settings, networks.new_network(TASK, config, settings), examples.batch(np.arange(0, 40, 4))


def test_default_options_do_not_change_loss(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(10))
    settings = TASK.settings(corpus, {})
    assert settings == {"masking": "dynamic", "mask_share": 0.15, "nsp": False}
    losses = [
        row_losses(TASK, network, ask(TASK, model.config, batch, chosen), chosen).total
        for network, chosen in ((model.network, {}), (networks.new_network(TASK, model.config, settings), settings))
    ]
    np.testing.assert_array_equal(*losses)


def test_static_masks_repeat_and_dynamic_masks_change(corpus, tokenizer):
    for masking, alike in (("static", True), ("dynamic", False)):
        config, settings, network, batch = prepare(corpus, tokenizer, masking=masking)
        first, second = (ask(TASK, config, batch, settings, seed=seed) for seed in (1, 2))
        assert np.array_equal(first.inputs["input_ids"], second.inputs["input_ids"]) == alike
        assert np.array_equal(first.places, second.places) == alike
        losses = [row_losses(TASK, network, question, settings).total for question in (first, second)]
        assert np.array_equal(*losses) == alike


def test_mask_share_option_sets_number_of_masks(corpus, tokenizer):
    config, settings, network, batch = prepare(corpus, tokenizer, mask_share=0.3)
    losses = row_losses(TASK, network, ask(TASK, config, batch, settings), settings)
    assert losses.targets.sum() == round(0.3 * int((batch.input_ids >= 5).sum()))


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_next_sentence_loss_is_added_and_rows_sum_to_total(corpus, tokenizer, masking):
    config, settings, network, batch = prepare(corpus, tokenizer, nsp=True, masking=masking)
    assert batch.input_ids.shape[1] == config.max_length - 1, "a pair has one token more"
    question, module = ask(TASK, config, batch, settings), network.module
    terms, each = terms_of(TASK, network, question, settings), row_losses(TASK, network, question, settings)
    np.testing.assert_allclose(each.total.sum(), terms.each.sum().item(), rtol=1e-5)
    assert each.targets.sum() == len(question.places)
    ids, labels = question.inputs["input_ids"].flatten()[question.places], question.labels
    assert (ids == labels).any() or masking == "static", "some stay as they are"
    assert ((ids == labels) | (ids == 4) | (ids >= 5)).all()
    terms.each.sum().backward()
    for part in ("next_sentence", "head", "encoder"):
        assert all(p.grad is not None for p in module.get_submodule(part).parameters()), part
    follows = question.more["follows"]
    memory = module.hidden_states(tensors_of(question.inputs, module.device))
    words = module.head(memory.flatten(0, 1)[question.places], module.encoder.embedding.tokens.weight)
    words = cross_entropy(words, torch.from_numpy(labels), reduction="none").detach().numpy()
    pairs = softmax(network.logits(ask_pairs(question), "next_sentence"))[np.arange(len(follows)), follows]
    wanted = np.bincount(question.rows, words, minlength=len(follows)) - np.log(pairs) * len(words) / len(follows)
    np.testing.assert_allclose(each.total, wanted, rtol=1e-4)
    np.testing.assert_allclose(each.total.sum() / each.targets.sum(), words.mean() - np.log(pairs).mean(), rtol=1e-5)
    with torch.no_grad():  # a head that says nothing costs log 2 a pair, beside what the words cost
        module.next_sentence.output.weight.zero_()
    silent = row_losses(TASK, network, question, settings)
    np.testing.assert_allclose(silent.total.sum() / silent.targets.sum(), words.mean() + np.log(2), rtol=1e-5)


def ask_pairs(question):
    """The pairs of a question, one answer a row."""
    return ask_each_row(question.inputs, question.more["follows"])


@pytest.mark.parametrize("nsp", [False, True])
def test_batch_without_maskable_tokens_has_zero_loss(corpus, tokenizer, nsp):
    config, settings, network, _ = prepare(corpus, tokenizer, nsp=nsp)
    batch = Examples.of([[2, 1, 3], [2, 3]], ["a", "b"], 0).batch(np.arange(2))
    losses = row_losses(TASK, network, ask(TASK, config, batch, settings), settings)
    assert (losses.total.tolist(), losses.targets.tolist()) == ([0, 0], [0, 0])


def test_next_sentence_is_learned_and_scored(corpus, tokenizer):
    """Rows whose second half goes with the first: the network sees through the pairs it is shown again and again."""
    config, settings, network, batch = prepare(corpus, tokenizer, nsp=True, mask_share=0.05)
    backend, question = networks.new_backend(TASK, network, settings), ask(TASK, config, batch, settings, seed=7)
    losses = [backend.update([question], 7, 3e-3).loss for _ in range(60)]
    assert losses[-1] < 0.1 * losses[0]
    model = Model(network, tokenizer, config, "masked_lm", settings)
    right, pairs = next_sentences(model, list(corpus.texts("test")))
    assert (right, pairs) == next_sentences(model, list(corpus.texts("test")))
    assert 0 <= right <= pairs == len(list(corpus.texts("test")))


def test_next_sentence_requires_token_types(corpus, tokenizer):
    settings = TASK.settings(corpus, {"nsp": True})
    with pytest.raises(TrainingError, match="set token_types=2 or preset=bert"):
        TASK.config(Architecture(), tokenizer, settings)
    assert TASK.config(Architecture(token_types=2), tokenizer, settings).token_types == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"masking": "often"}, "masking: .*'dynamic' or 'static'"),
        ({"mask_share": 1}, "mask_share"),
        ({"nps": True}, "its options: masking"),
    ],
)
def test_invalid_options_are_refused(corpus, wrong, message):
    with pytest.raises(TrainingError, match=message):
        TASK.settings(corpus, wrong)


@pytest.mark.parametrize(
    "changes",
    [
        {"share_layers": True, "d_embedding": 8, "num_layers": 3, "norm": "post"},  # ALBERT
        {"num_kv_heads": 1, "positions": "rope"},
        {
            "window": 4,
            "global_every": 2,
            "positions": "rope",
            "window_rope_base": 1000.0,
            "activation": "geglu",
            "bias": False,
        },
    ],
)
def test_newer_encoders_overfit_masked_words(corpus, tokenizer, changes):
    """Of four texts they learn the masked words by heart."""
    config = ModelConfig(
        d_model=32, d_ff=64, num_heads=2, num_layers=2, max_length=24, vocab_size=tokenizer.vocab_size
    ).with_changes(changes)
    settings = {"masking": "static"}
    network = networks.new_network(TASK, config, settings, std=config.initializer_std)
    batch = TASK.examples(corpus, tokenizer, "train", {}, config).batch(np.arange(4))
    backend, question = networks.new_backend(TASK, network, settings), ask(TASK, config, batch, settings)
    losses = [backend.update([question], number, 5e-3).loss for number in range(60)]
    assert losses[-1] < 0.3 * losses[0]
    if config.share_layers:
        assert len(network.module.encoder.layers) == 1
