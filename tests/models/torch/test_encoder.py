"""The encoder against PyTorch's layers, and what holds for every encoder."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.config import ModelConfig
from models.torch import Encoder, EncoderLayer, initialize
from models.torch.encoder import drop

SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 4, "num_layers": 2, "max_length": 12, "vocab_size": 30}


def encoder(**changes):
    config = ModelConfig(**{**SMALL, "initializer_std": 0.2, **changes})
    network = Encoder(config)
    initialize(network, config, 0)
    return network.eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_layer_matches_torch_encoder_layer(norm):
    torch.manual_seed(0)
    ours = EncoderLayer(ModelConfig(**SMALL, norm=norm))
    theirs = nn.TransformerEncoderLayer(16, 4, 24, 0.0, "gelu", batch_first=True, norm_first=norm == "pre")
    pairs = [
        ("attention.qkv.weight", "self_attn.in_proj_weight"),
        ("attention.qkv.bias", "self_attn.in_proj_bias"),
        ("attention.output.weight", "self_attn.out_proj.weight"),
        ("attention.output.bias", "self_attn.out_proj.bias"),
        ("feed_forward.inner.weight", "linear1.weight"),
        ("feed_forward.inner.bias", "linear1.bias"),
        ("feed_forward.outer.weight", "linear2.weight"),
        ("feed_forward.outer.bias", "linear2.bias"),
        ("attention_norm.weight", "norm1.weight"),
        ("attention_norm.bias", "norm1.bias"),
        ("feed_forward_norm.weight", "norm2.weight"),
        ("feed_forward_norm.bias", "norm2.bias"),
    ]
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.load_state_dict({theirs_: ours.state_dict()[ours_] for ours_, theirs_ in pairs})
    x, mask = torch.randn(3, 7, 16), torch.arange(7)[None] < torch.tensor([7, 5, 2])[:, None]
    torch.testing.assert_close(ours(x, mask)[mask], theirs(x, src_key_padding_mask=~mask)[mask])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_padding_does_not_change_output(norm):
    network, ids = encoder(norm=norm), torch.randint(1, 30, (2, 5))
    padded = torch.cat([ids, torch.zeros(2, 4, dtype=torch.long)], 1)
    torch.testing.assert_close(network(padded, padded != 0)[:, :5], network(ids))


def test_encoder_with_zero_sublayers_is_normed_embedding_sum():
    network, ids = encoder(num_layers=1), torch.tensor([[3, 4]])
    with torch.no_grad():
        network.layers[0].attention.output.weight.zero_()
        network.layers[0].feed_forward.outer.weight.zero_()
    x = network.embedding.tokens.weight[[3, 4]] + network.embedding.positions.weight[:2]
    expected = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(network(ids)[0], expected)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 29), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_encoder_without_positions_ignores_token_order(ids, random):
    network = encoder()
    with torch.no_grad():
        network.embedding.positions.weight.zero_()
    order = list(range(len(ids)))
    random.shuffle(order)
    ids_tensor = torch.tensor([ids])
    torch.testing.assert_close(network(ids_tensor)[:, order], network(ids_tensor[:, order]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_attention_maps_are_probabilities_of_each_layer_and_head(norm):
    network, ids = encoder(norm=norm), torch.randint(1, 30, (2, 6))
    maps = network.attention_maps(ids)
    assert [m.shape for m in maps] == [(2, 4, 6, 6)] * 2
    for weights in maps:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 6))


def test_weights_depend_only_on_seed():
    first, second = encoder().state_dict(), encoder().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not first["embedding.tokens.weight"][0].any(), "padding's vector is nought"
    assert first["layers.0.attention.qkv.weight"].std().item() == pytest.approx(0.2, rel=0.1)


def test_dropout_applies_only_in_training():
    network, ids = encoder(dropout=0.3), torch.randint(1, 30, (1, 6))
    assert torch.equal(network(ids), network(ids))
    network.train()
    assert not torch.equal(network(ids), network(ids))


def test_layer_dropout_keeps_mean_and_drops_whole_rows():
    torch.manual_seed(0)
    out = drop(torch.ones(20_000, 2, 3), 0.0, 0.25)
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (out == out[:, :1, :1]).all(), "a row goes as a whole"
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)


def test_dropout_and_layer_dropout_together_keep_the_mean():
    torch.manual_seed(0)
    assert drop(torch.ones(2_000, 5, 20), 0.5, 0.25).mean().item() == pytest.approx(1.0, abs=0.05)


def test_with_layer_dropout_a_row_can_skip_every_layer():
    network, ids = encoder(layer_dropout=0.9, num_layers=1), torch.randint(1, 30, (1, 6)).expand(400, 6)
    torch.manual_seed(0)
    found = network.train()(ids)
    x = network.embedding(ids[:1], torch.arange(6)[None])
    skipped = (found == network.final_norm(x)).flatten(1).all(1)
    assert 0.75 < skipped.float().mean() < 0.87, "0.9 times 0.9: neither sublayer"
    assert torch.equal(network.eval()(ids[:1]), network(ids[:1]))


KINDS = {
    "bert": {"norm": "post"},
    "2017": {"positions": "sinusoidal", "norm": "post", "embedding_norm": False, "scale_embeddings": True},
    "modern": {"positions": "rope", "activation": "geglu", "bias": False},
    "alibi": {"positions": "alibi", "num_kv_heads": 2},
    "t5": {"positions": "relative", "norm_kind": "rms", "bias": False, "scale_attention": False},
    "albert": {"share_layers": True, "d_embedding": 8},
    "unpadded": {"unpadding": True, "positions": "rope"},
}


def reached(network, ids, mask, place):
    """Tokens that the vector at `place` of the first row depends on, by its gradient."""
    vectors = network.embedding.tokens(ids).detach().requires_grad_()
    network.embedding.tokens.forward = lambda _: vectors
    (gradient,) = torch.autograd.grad(network(ids, mask)[0, place].square().sum(), vectors)
    return (gradient[0].abs().sum(-1) > 0).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_depends_on_all_others_and_not_on_padding(kind):
    mask = torch.arange(9)[None] < 6
    for place in range(6):
        assert reached(encoder(**KINDS[kind]), torch.randint(1, 30, (1, 9)), mask, place) == [True] * 6 + [False] * 3


@pytest.mark.parametrize("kind", ["modern", "alibi", "t5", "unpadded"])
@pytest.mark.parametrize(("window", "layers"), [(4, 1), (5, 1), (2, 2), (4, 2)])
def test_window_reaches_half_its_width_on_each_side_per_layer(kind, window, layers):
    network = encoder(**{**KINDS[kind], "window": window, "num_layers": layers, "max_length": 12})
    mask, far = torch.arange(12)[None] < 10, layers * (window // 2)
    found = reached(network, torch.randint(1, 30, (1, 12)), mask, 4)
    assert found == [abs(place - 4) <= far and place < 10 for place in range(12)]


def test_global_every_gives_some_layers_full_attention():
    # Layer 0 looks at all, layer 1 does not
    network = encoder(positions="rope", window=2, global_every=2, num_layers=2)
    assert reached(network, torch.randint(1, 30, (1, 12)), None, 4) == [True] * 12
    assert [network.config.window_of(layer) for layer in range(5)] == [0, 2, 0, 2, 0]
