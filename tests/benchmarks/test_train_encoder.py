"""The peer of `benchmarks.train_encoder` is judged by the code that judges ours."""

import math
from functools import partial

import pytest

from benchmarks.train_encoder import PeerLosses
from tasks.masked_lm.task import TASK
from tests.small_training import CONFIG, made_up
from training.validation import evaluate


def test_peer_losses_are_measured_by_our_evaluation():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=CONFIG.vocab_size, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    peer = PeerLosses(transformers.BertForMaskedLM(config))
    loss = evaluate(peer, partial(TASK.ask, CONFIG, {}), made_up(20, seed=1), batch_tokens=128, seed=0)
    assert loss == pytest.approx(math.log(CONFIG.vocab_size), abs=0.2), "an untrained network guesses"
