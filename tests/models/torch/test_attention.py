"""Attention against values worked out by hand, and against PyTorch's own layer."""

import math

import pytest
import torch
from torch import nn

from models.config import ModelConfig
from models.torch import MultiHeadAttention


def attention(d_model=8, num_heads=2, dropout=0.0):
    config = ModelConfig(d_model=d_model, d_ff=16, num_heads=num_heads, vocab_size=10, dropout=dropout)
    torch.manual_seed(0)
    return MultiHeadAttention(config)


def identity(layer):
    """Query, key, value and output all become the identity."""
    width = layer.output.weight.shape[0]
    with torch.no_grad():
        layer.qkv.weight.copy_(torch.eye(width).repeat(3, 1))
        layer.output.weight.copy_(torch.eye(width))
        layer.qkv.bias.zero_()
        layer.output.bias.zero_()
    return layer


def test_two_positions_by_hand():
    layer = identity(attention(d_model=8, num_heads=1))
    a, b = torch.zeros(8), torch.zeros(8)
    a[0] = b[1] = math.sqrt(8) ** 0.5 * math.sqrt(math.log(3))  # scores a.a / sqrt(8) = log 3, a.b = 0
    out = layer(torch.stack([a, b])[None], None)[0]
    # softmax(log 3, 0) = (3/4, 1/4)
    torch.testing.assert_close(out, torch.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b]))


def test_where_all_scores_are_equal_it_is_the_mean():
    layer = identity(attention())
    with torch.no_grad():
        layer.qkv.weight[:8].zero_()  # queries of nought
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(layer(x, None), x.mean(1, keepdim=True).expand(2, 5, 8))


def test_it_is_pytorchs_layer():
    ours, theirs = attention(), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    x, mask = torch.randn(3, 6, 8), torch.arange(6)[None] < torch.tensor([6, 4, 1])[:, None]
    expected, weights = theirs(x, x, x, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(ours(x, mask), expected)
    torch.testing.assert_close(ours.weights(x, mask), weights)


def test_true_may_be_attended_to_and_false_has_no_part():
    layer, x = attention(), torch.randn(1, 4, 8)
    mask = torch.tensor([[True, True, False, False]])
    changed = x.clone()
    changed[:, 2:] += 100
    torch.testing.assert_close(layer(x, mask)[:, :2], layer(changed, mask)[:, :2])
    torch.testing.assert_close(layer(x, mask)[:, :2], layer(x[:, :2], None))
    assert (layer.weights(x, mask)[..., 2:] == 0).all()


@pytest.mark.parametrize("masked", [False, True])
def test_weights_are_probabilities_and_make_the_output(masked):
    layer, x = attention(), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2]) if masked else None
    weights = layer.weights(x, mask)
    assert weights.shape == (2, 2, 5, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5))
    value = layer.qkv(x)[..., 16:].unflatten(-1, (2, 4)).transpose(1, 2)
    torch.testing.assert_close(layer(x, mask), layer.output((weights @ value).transpose(1, 2).flatten(2)))


def test_dropout_is_for_training_alone():
    layer, x = attention(dropout=0.5), torch.randn(1, 6, 8)
    torch.manual_seed(1)
    assert not torch.equal(layer.train()(x, None), layer(x, None))
    assert torch.equal(layer.eval()(x, None), layer(x, None))
