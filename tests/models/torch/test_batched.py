"""A row's result does not depend on the rows it is batched with, in any network."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import ModelConfig
from models.torch import build, initialize, pool
from training.batches import Examples, epoch

SMALL = {"d_model": 12, "d_ff": 16, "num_heads": 3, "num_layers": 2, "max_length": 16, "vocab_size": 30}
KINDS = {
    "bert": {"norm": "post"},
    "2017": {"positions": "sinusoidal", "norm": "post", "embedding_norm": False, "scale_embeddings": True},
    "modern": {"positions": "rope", "activation": "geglu", "bias": False, "window": 4, "global_every": 2},
    "alibi": {"positions": "alibi", "window": 3},
    "t5": {"positions": "relative", "norm_kind": "rms", "bias": False, "num_kv_heads": 1},
    "albert": {"share_layers": True, "d_embedding": 6},
    "rnn": {"network": "recurrent", "cell": "rnn"},
    "lstm": {"network": "recurrent", "cell": "lstm", "alignment": "multiplicative"},
    "gru": {"network": "recurrent", "cell": "gru", "d_embedding": 5},
    "textcnn": {"network": "convolutional", "kernel_sizes": "2,3,4"},
}
ROWS = st.lists(st.tuples(st.integers(1, 14), st.integers(1, 9)), min_size=1, max_size=6)


@cache
def network(part, kind):
    config = ModelConfig(**SMALL | KINDS[kind], initializer_std=0.3)
    made = build(part, config)
    initialize(made, config, 0)
    return made.eval()


def batches(lengths):
    """Rows of random tokens of these lengths, in batches as a training sees them."""
    random = np.random.default_rng(len(lengths))
    sources, targets = zip(*([random.integers(1, 30, length) for length in pair] for pair in lengths), strict=True)
    made = Examples.of(sources, [str(i) for i in range(len(lengths))], 0, targets=targets)
    for rows in epoch(made, 80, 0, 0):
        batch = made.batch(rows)
        yield [
            torch.from_numpy(x) for x in (batch.input_ids, batch.attention_mask, batch.target_ids, batch.target_mask)
        ]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(ROWS)
def test_encoder_and_pooling_do_not_depend_on_batch(kind, lengths):
    made = network("Encoder", kind)
    for ids, mask, _, _ in batches(lengths):
        memory = made(ids, mask)
        for row, length in enumerate(mask.sum(1).tolist()):
            alone = made(ids[row : row + 1, :length])
            torch.testing.assert_close(memory[row, :length], alone[0], atol=2e-5, rtol=1e-4)
            for how in ("mean", "max", "last", "cls"):
                torch.testing.assert_close(
                    pool(memory, mask, how)[row], pool(alone, None, how)[0], atol=2e-5, rtol=1e-4
                )


@torch.no_grad()
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "textcnn"])
@settings(max_examples=4, deadline=None)
@given(ROWS)
def test_decoder_and_encoder_decoder_do_not_depend_on_batch(kind, lengths):
    alone, pair = network("Decoder", kind), network("EncoderDecoder", kind)
    for source, source_mask, target, target_mask in batches(lengths):
        said, translated = alone(target, target_mask), pair(source, source_mask, target, target_mask)
        for row in range(len(source)):
            read, written = int(source_mask[row].sum()), int(target_mask[row].sum())
            its_source, its_target = source[row : row + 1, :read], target[row : row + 1, :written]
            torch.testing.assert_close(said[row, :written], alone(its_target)[0], atol=2e-5, rtol=1e-4)
            torch.testing.assert_close(
                translated[row, :written], pair(its_source, None, its_target)[0], atol=2e-5, rtol=1e-4
            )
