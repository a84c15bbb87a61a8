"""Masked and causal rows in one network: what is asked where, and who sees what."""

import numpy as np
import pytest
import torch

from artifacts.tokenizer import Tokenizer
from models.config import Architecture, ModelConfig
from models.torch import Decoder, Encoder
from tasks.masked_lm.task import TASK
from tasks.model import Model
from tests import networks
from tests.networks import ask
from tests.small_corpus import make_corpus, make_tokenizer
from tests.small_training import made_up
from training.errors import TrainingError

CONFIG = ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=2, max_length=16, vocab_size=40)
HALF = {"causal_share": 0.5, "mask_share": 0.3}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    home = tmp_path_factory.mktemp("hybrid")
    return Tokenizer(make_tokenizer(home, make_corpus(home, rows=200)).path)


def test_tokens_are_asked_for_at_the_position_before_them():
    batch = made_up(40, 0).batch(np.arange(40))
    question = ask(TASK, CONFIG, batch, HALF, training=True)
    causal, shown, ids = question.inputs["causal"], question.inputs["input_ids"], batch.input_ids
    assert 5 < causal.sum() < 35
    width = ids.shape[1]
    np.testing.assert_array_equal(question.labels, ids.reshape(-1)[question.places + 1])
    np.testing.assert_array_equal(question.rows, question.places // width)
    tokens = (ids >= 5).sum(1)
    np.testing.assert_array_equal(question.targets[causal], tokens[causal])
    assert question.targets[~causal].sum() == round(0.3 * tokens[~causal].sum())
    np.testing.assert_array_equal(shown[causal], ids[causal])
    changed = (shown != ids).reshape(-1)
    assert changed.any()
    assert changed[question.places + 1].sum() == changed.sum(), "only tokens that are asked for are replaced"


def test_evaluation_has_masked_rows_alone():
    batch = made_up(40, 0).batch(np.arange(40))
    question = ask(TASK, CONFIG, batch, HALF, training=False)
    assert "causal" not in question.inputs
    assert len(question.places) == round(0.3 * (batch.input_ids >= 5).sum())


@pytest.mark.parametrize(
    "changes", [{}, {"positions": "rope"}, {"positions": "alibi"}, {"unpadding": True}, {"window": 4}]
)
def test_causal_rows_are_those_of_a_decoder_and_others_those_of_the_encoder(changes):
    config = CONFIG.with_changes(changes)
    torch.manual_seed(0)
    encoder = Encoder(config).eval()
    ids = torch.randint(5, 40, (3, 9))
    ids[0, 6:] = 0
    mask, causal = ids != 0, torch.tensor([True, False, True])
    both = encoder(ids, mask, causal=causal)
    torch.testing.assert_close(both[1], encoder(ids, mask)[1])
    later = ids.clone()
    later[:, 5] = 7
    changed = encoder(later, mask, causal=causal)
    torch.testing.assert_close(changed[causal][:, :5], both[causal][:, :5])
    assert not torch.allclose(changed[1, :5], both[1, :5])
    if not config.window:  # an encoder's window is half as long to the left
        decoder = Decoder(config).eval()
        decoder.load_state_dict(encoder.state_dict())
        torch.testing.assert_close(both[causal][mask[causal]], decoder(ids)[causal][mask[causal]])


def test_both_objectives_are_learned_and_answers_come_from_the_position_before(tokenizer):
    config = CONFIG.with_changes({"vocab_size": tokenizer.vocab_size, "d_model": 32})
    network = networks.new_network(TASK, config, HALF, std=0.1)
    text = "bada kuto fari"
    ids = np.array([tokenizer.with_ends(tokenizer.encode(text), 16)])
    batch = type(made_up(1, 0)).of(ids.repeat(8, 0).tolist(), list("abcdefgh"), tokenizer.pad_id).batch(np.arange(8))
    backend = networks.new_backend(TASK, network, HALF)
    losses = [backend.update([ask(TASK, config, batch, HALF, seed=n, training=True)], n, 1e-2).loss for n in range(60)]
    assert losses[-1] < 0.2 * losses[0]
    answer = TASK.predict(Model(network, tokenizer, config, "masked_lm", HALF), ["[MASK] kuto fari"])
    assert tokenizer.encode(answer["prediction"][0])[:1] == tokenizer.encode(text)[:1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"causal_share": 0.1, "nsp": True}, "set nsp=false, or causal_share=0"),
        ({"causal_share": 1.0}, "causal_share"),
        ({"last_mask_share": 0.1, "masking": "static"}, "set masking=dynamic, or last_mask_share=0"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, message):
    with pytest.raises(TrainingError, match=message):
        TASK.settings(None, options)


def test_causal_rows_need_a_transformer(tokenizer):
    settings = TASK.settings(None, {"causal_share": 0.1})
    assert settings["causal_share"] == 0.1
    with pytest.raises(TrainingError, match="causal_share needs a transformer"):
        TASK.config(Architecture(network="recurrent"), tokenizer, settings)
