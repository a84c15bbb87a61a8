"""The models against closed forms and against PyTorch's own layers."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from models import parameters
from models.config import Architecture, ModelConfig
from models.torch import Classifier, Encoder, EncoderLayer, FeedForward, MaskedLMHead, MultiHeadAttention, initialize


def config(**changes):
    return ModelConfig(
        **{"d_model": 8, "d_ff": 16, "num_heads": 2, "num_layers": 2, "vocab_size": 20, "max_length": 10} | changes
    )


def shapes(network):
    return {name: tuple(p.shape) for name, p in network.named_parameters()}


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_torch_parameters_match_framework_free_list(norm):
    made = config(norm=norm)
    assert shapes(Encoder(made)) == parameters.encoder(made)
    assert shapes(MaskedLMHead(made)) == parameters.masked_lm_head(made)
    assert shapes(Classifier(made, 3)) == parameters.classifier(made, 3)


def test_attention_with_equal_scores_is_mean_of_visible_values():
    attention = MultiHeadAttention(config())
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.bias.zero_()
        attention.qkv.weight[16:24] = torch.eye(8)  # values are the input; queries and keys are zero
        attention.output.weight.copy_(torch.eye(8))
        attention.output.bias.zero_()
    x = torch.arange(24.0).reshape(1, 3, 8)
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(attention(x, mask), x[:, :2].mean(1, keepdim=True).expand(1, 3, 8))
    torch.testing.assert_close(attention.weights(x, mask), torch.tensor([0.5, 0.5, 0.0]).expand(1, 2, 3, 3))


def test_attention_weights_are_softmax_of_scaled_products():
    attention = MultiHeadAttention(config(num_heads=1))
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.bias.zero_()
        attention.qkv.weight[:8] = torch.eye(8)
        attention.qkv.weight[8:16] = torch.eye(8)
    x = torch.zeros(1, 2, 8)
    x[0, 0, 0], x[0, 1, 0] = 2.0, 1.0
    e = [math.exp(4 / math.sqrt(8)), math.exp(2 / math.sqrt(8))]
    torch.testing.assert_close(attention.weights(x, None)[0, 0, 0], torch.tensor([e[0] / sum(e), e[1] / sum(e)]))


def test_matches_torch_multihead_attention():
    made = config()
    ours, theirs = MultiHeadAttention(made), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    x, mask = torch.randn(3, 5, 8), torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    expected, weights = theirs(x, x, x, key_padding_mask=~mask, average_attn_weights=False)  # theirs: True = may not
    torch.testing.assert_close(ours(x, mask), expected)
    torch.testing.assert_close(ours.weights(x, mask), weights)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_layer_matches_torch_encoder_layer(norm):
    made = config(norm=norm)
    ours = EncoderLayer(made)
    theirs = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=norm == "pre")
    pairs = {
        "self_attn.in_proj_weight": "attention.qkv.weight", "self_attn.in_proj_bias": "attention.qkv.bias",
        "self_attn.out_proj.weight": "attention.output.weight", "self_attn.out_proj.bias": "attention.output.bias",
        "linear1.weight": "feed_forward.inner.weight", "linear1.bias": "feed_forward.inner.bias",
        "linear2.weight": "feed_forward.outer.weight", "linear2.bias": "feed_forward.outer.bias",
        "norm1.weight": "attention_norm.weight", "norm1.bias": "attention_norm.bias",
        "norm2.weight": "feed_forward_norm.weight", "norm2.bias": "feed_forward_norm.bias",
    }  # fmt: skip
    state = ours.state_dict()
    theirs.load_state_dict({name: state[own] for name, own in pairs.items()})
    x, mask = torch.randn(2, 4, 8), torch.tensor([[True] * 4, [True, True, False, False]])
    torch.testing.assert_close(ours(x, mask)[mask], theirs(x, src_key_padding_mask=~mask)[mask])


def test_feed_forward_with_identity_weights_is_gelu():
    layer = FeedForward(config(d_model=8, d_ff=8))
    with torch.no_grad():
        for linear in (layer.inner, layer.outer):
            linear.weight.copy_(torch.eye(8))
            linear.bias.zero_()
    x = torch.tensor([1.0, -1.0] * 4)
    phi = 0.5 * (1 + math.erf(1 / math.sqrt(2)))
    torch.testing.assert_close(layer(x), torch.tensor([phi, -(1 - phi)] * 4))


def test_padding_does_not_change_outputs():
    encoder = Encoder(config()).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    padded, mask = torch.tensor([[5, 6, 7, 8, 0, 0]]), torch.tensor([[True] * 4 + [False] * 2])
    torch.testing.assert_close(encoder(padded, mask)[:, :4], encoder(ids))
    classifier = Classifier(config(), 3).eval()
    torch.testing.assert_close(classifier(encoder(padded, mask), mask), classifier(encoder(ids), None))


def test_masked_lm_head_is_tied_to_the_embedding():
    head, embedding = MaskedLMHead(config()), torch.randn(20, 8)
    hidden = torch.randn(3, 8)
    inner = head.norm(nn.functional.gelu(head.dense(hidden)))
    torch.testing.assert_close(head(hidden, embedding), inner @ embedding.T + head.bias)


def test_attention_maps_have_rows_that_sum_to_one():
    encoder = Encoder(config()).eval()
    maps = encoder.attention_maps(torch.tensor([[3, 4, 5]]))
    assert [tuple(one.shape) for one in maps] == [(1, 2, 3, 3)] * 2
    torch.testing.assert_close(maps[0].sum(-1), torch.ones(1, 2, 3))


def test_weights_depend_on_seed():
    def drawn(seed):
        network = Encoder(config())
        initialize(network, config(), seed)
        return network.state_dict()

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.attention.qkv.weight"], other["layers.0.attention.qkv.weight"])
    assert not first["embedding.tokens.weight"][0].any(), "padding has the zero vector"
    assert abs(float(first["embedding.tokens.weight"][1:].std()) - 0.05) < 0.01


def test_invalid_config_is_refused():
    with pytest.raises(ValidationError, match="num_heads=3 does not divide d_model=8"):
        config(num_heads=3)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Architecture(width=3)
