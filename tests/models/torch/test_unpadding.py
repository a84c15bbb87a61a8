"""Without padding the encoder computes the same, and does so for tokens alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from models.config import ModelConfig
from models.torch import Encoder, initialize
from models.torch.unpadding import Unpadding

SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 4, "num_layers": 3, "max_length": 12, "vocab_size": 30}
KINDS = {
    "bert": {"norm": "post", "token_types": 2},
    "modern": {"positions": "rope", "activation": "geglu", "bias": False, "window": 4, "global_every": 3},
    "alibi": {"positions": "alibi", "window": 3, "num_kv_heads": 2},
    "t5": {"positions": "relative", "norm_kind": "rms", "bias": False},
    "albert": {"share_layers": True, "d_embedding": 8},
}


def pair(kind):
    config = ModelConfig(**SMALL | KINDS[kind], initializer_std=0.2)
    padded, unpadded = Encoder(config), Encoder(config.with_changes({"unpadding": True}))
    initialize(padded, config, 0)
    unpadded.load_state_dict(padded.state_dict())
    return padded, unpadded


def batch(lengths, width):
    ids = torch.randint(1, 30, (len(lengths), width), generator=torch.Generator().manual_seed(1))
    return ids, torch.arange(width)[None] < torch.tensor(lengths)[:, None]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 3))
def test_unpacking_restores_rows_with_zero_padding(lengths, more):
    x, mask = torch.randn(len(lengths), max(lengths) + more, 4), batch(lengths, max(lengths) + more)[1]
    unpadding = Unpadding.of(mask)
    packed = unpadding.pack(x)
    assert torch.equal(packed[0], torch.cat([row[:length] for row, length in zip(x, lengths, strict=True)]))
    assert torch.equal(unpadding.pad(packed), x * mask.unsqueeze(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_unpadded_results_and_gradients_match_padded_encoder(kind):
    padded, unpadded = pair(kind)
    ids, mask = batch([12, 3, 7, 1], 12)
    weight = torch.randn(4, 12, 16) * mask.unsqueeze(-1)
    for network in (padded, unpadded):
        (network(ids, mask) * weight).sum().backward()
    torch.testing.assert_close(unpadded(ids, mask)[mask], padded(ids, mask)[mask])
    for (name, one), other in zip(padded.named_parameters(), unpadded.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_projections_norms_and_feed_forward_see_no_padding():
    network, seen = pair("bert")[1], set()
    for module in network.layers.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.register_forward_hook(lambda _, given, __: seen.add(tuple(given[0].shape[:2])))
    ids, mask = batch([12, 3, 7, 1], 12)
    network(ids, mask)
    assert seen == {(1, 23)}


def test_unpadding_without_mask_matches_padded_encoder():
    padded, unpadded = pair("modern")
    ids, _ = batch([5, 5], 5)
    assert torch.equal(unpadded(ids), padded(ids))


def test_unpadding_rejects_layer_dropout():
    with pytest.raises(ValidationError, match="unpadding=true has no rows that could skip a layer"):
        ModelConfig(**SMALL, unpadding=True, layer_dropout=0.1)
