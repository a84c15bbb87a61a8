"""The masked-LM task: all text is learnt from, the loss is that of the masked positions, questions and answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import Architecture, ModelConfig
from models.torch import initialize
from tasks.masked_lm.masked_batch import mask_batch, next_sentences
from tasks.masked_lm.task import TASK
from tasks.model import Model
from telemetry import Observe
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
def model(tokenizer):
    config = ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=2, max_length=24, vocab_size=tokenizer.vocab_size)
    network = TASK.network(config, {})
    initialize(network, config.with_changes({"initializer_std": 0.3}), torch.Generator().manual_seed(0))
    return Model(network.eval(), tokenizer, config, "masked_lm", {})


def test_all_text_of_a_split_is_learnt_from(corpus, tokenizer):
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


def test_the_loss_is_that_of_the_masked_positions_alone(corpus, tokenizer, model):
    examples = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24))
    batch = examples.batch(np.arange(10))
    loss = TASK.loss(model.network, batch, torch.Generator().manual_seed(5))
    from tasks.masked_lm.masking import mask_tokens

    ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
    masked = mask_tokens(
        ids, mask & (ids >= 5), torch.Generator().manual_seed(5), mask_id=4, vocab_size=tokenizer.vocab_size, first_id=5
    )
    targets = torch.full_like(ids, -100).flatten()
    targets[masked.positions] = masked.labels
    encoder, head = model.network["encoder"], model.network["head"]
    logits = head(encoder(masked.input_ids, mask), encoder.embedding.tokens.weight)  # the long way, at every position
    torch.testing.assert_close(loss.total, cross_entropy(logits.flatten(0, 1), targets, reduction="sum"))
    assert loss.targets == round(0.15 * int((ids >= 5).sum()))
    assert not set(masked.labels.tolist()) & set(range(5)), "special tokens are not asked for"


def test_the_losses_of_the_rows_add_up_to_that_of_the_batch(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(10))
    whole = TASK.loss(model.network, batch, torch.Generator().manual_seed(5))
    each = TASK.row_losses(model.network, batch, torch.Generator().manual_seed(5))
    torch.testing.assert_close(each.total.sum(), whole.total)
    assert (each.targets.sum(), len(each.total), len(each.targets)) == (whole.targets, 10, 10)
    assert ((each.total > 0) == (each.targets > 0)).all()


def test_questions_ask_for_one_word_of_each_text(corpus):
    questions = TASK.questions(corpus, "test", {})
    assert questions.equals(TASK.questions(corpus, "test", {}))
    texts = {row["id"]: row["text"] for row in corpus.rows("test")}
    assert list(questions["id"]) == list(texts)
    for row_id, text, expected in questions[["id", "text", "expected"]].itertuples(index=False):
        assert text.replace("[MASK]", expected) == texts[row_id]


def test_predict_fills_the_mask_and_does_not_look_at_the_neighbours_of_a_batch(model):
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


def test_metrics_and_baseline(corpus):
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


def made_network(config, **chosen):
    network = TASK.network(config, chosen)
    initialize(network, config.with_changes({"initializer_std": 0.3}), torch.Generator().manual_seed(0))
    return network


def asked(corpus, tokenizer, **chosen):
    """A config, a network and a batch, as these options have them."""
    config = ModelConfig(
        d_model=16, d_ff=32, num_heads=2, num_layers=1, max_length=24, vocab_size=tokenizer.vocab_size, token_types=2
    )
    settings = TASK.settings(corpus, chosen)
    examples = TASK.examples(corpus, tokenizer, "train", settings, config)
    return config, made_network(config, **settings), examples.batch(np.arange(0, 40, 4))


def test_the_default_options_change_nothing(corpus, tokenizer, model):
    batch = TASK.examples(corpus, tokenizer, "train", {}, ModelConfig(max_length=24)).batch(np.arange(10))
    settings = TASK.settings(corpus, {})
    assert settings == {"masking": "dynamic", "mask_share": 0.15, "nsp": False}
    same = made_network(model.config, **settings).eval()
    losses = [TASK.loss(network, batch, torch.Generator().manual_seed(5)).total for network in (model.network, same)]
    assert torch.equal(*losses)


def test_masks_are_the_same_each_epoch_or_others(corpus, tokenizer):
    for masking, alike in (("static", True), ("dynamic", False)):
        _, network, batch = asked(corpus, tokenizer, masking=masking)
        first, second = (TASK.loss(network, batch, torch.Generator().manual_seed(n)).total for n in (1, 2))
        assert torch.equal(first, second) == alike


def test_the_share_of_masks_is_an_option(corpus, tokenizer):
    _, network, batch = asked(corpus, tokenizer, mask_share=0.3)
    loss = TASK.loss(network, batch, torch.Generator().manual_seed(1))
    assert loss.targets == round(0.3 * int((batch.input_ids >= 5).sum()))


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_next_sentence_adds_its_loss_and_the_rows_add_up(corpus, tokenizer, masking):
    config, network, batch = asked(corpus, tokenizer, nsp=True, masking=masking)
    assert batch.input_ids.shape[1] == config.max_length - 1, "a pair has one token more"
    whole = TASK.loss(network, batch, torch.Generator().manual_seed(5))
    each = TASK.row_losses(network, batch, torch.Generator().manual_seed(5))
    torch.testing.assert_close(each.total.sum(), whole.total)
    assert each.targets.sum() == whole.targets
    whole.total.backward()
    assert all(p.grad is not None for p in network["next_sentence"].parameters())
    with torch.no_grad():  # a head that says nothing costs log 2 a pair, beside what the words cost
        network["next_sentence"].output.weight.zero_()
        asks = mask_batch(batch, torch.Generator().manual_seed(5), config, **network.chosen)
        memory = network["encoder"](asks.input_ids, asks.attention_mask, asks.token_types).flatten(0, 1)
        logits = network["head"](memory[asks.positions], network["encoder"].embedding.tokens.weight)
        total = TASK.loss(network, batch, torch.Generator().manual_seed(5)).total
    torch.testing.assert_close(total / whole.targets, cross_entropy(logits, asks.labels) + np.log(2))


def test_next_sentence_is_learnt_and_reported(corpus, tokenizer):
    """Rows whose second half goes with the first: the network sees through the pairs it is shown again and again."""
    config, network, batch = asked(corpus, tokenizer, nsp=True, mask_share=0.05)
    backend = TorchBackend(network, TASK.loss, seed=1, weight_decay=0.0, clip=1.0)
    losses = [backend.update(batch, 7, 3e-3).loss for _ in range(60)]
    assert losses[-1] < 0.1 * losses[0]
    made = Model(network.eval(), tokenizer, config, "masked_lm", {})
    right, pairs = next_sentences(made, list(corpus.texts("test")))
    assert (right, pairs) == next_sentences(made, list(corpus.texts("test")))
    assert 0 <= right <= pairs == len(list(corpus.texts("test")))


def test_next_sentence_needs_segments(corpus, tokenizer):
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
def test_wrong_options_are_one_line(corpus, wrong, message):
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
def test_the_encoders_that_came_after_learn_it_too(corpus, tokenizer, changes):
    """Of four texts they learn the masked words by heart."""
    config = ModelConfig(
        d_model=32, d_ff=64, num_heads=2, num_layers=2, max_length=24, vocab_size=tokenizer.vocab_size
    ).with_changes(changes)
    network = TASK.network(config, {"masking": "static"})
    initialize(network, config, torch.Generator().manual_seed(0))
    batch = TASK.examples(corpus, tokenizer, "train", {}, config).batch(np.arange(4))
    backend = TorchBackend(network, TASK.loss, seed=1, weight_decay=0.0, clip=1.0)
    losses = [backend.update(batch, number, 5e-3).loss for number in range(60)]
    assert losses[-1] < 0.3 * losses[0]
    if config.share_layers:
        assert len(network["encoder"].layers) == 1
