"""The feed-forward layer and the norms by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.config import ModelConfig
from models.torch import FeedForward
from models.torch.position_wise import norm


def layer():
    return FeedForward(ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=10))


def test_feed_forward_with_identity_weights_is_gelu():
    feed_forward = layer()
    with torch.no_grad():
        for linear in (feed_forward.inner, feed_forward.outer):
            linear.weight.copy_(torch.eye(8))
            linear.bias.zero_()
    x = torch.linspace(-3, 3, 8)
    expected = torch.tensor([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])  # x Phi(x)
    torch.testing.assert_close(feed_forward(x), expected)


def test_feed_forward_treats_positions_independently():
    feed_forward, x = layer(), torch.randn(2, 3, 8)
    torch.testing.assert_close(feed_forward(x)[1, 2], feed_forward(x[1, 2]))


@pytest.mark.parametrize(
    ("activation", "function"),
    [("swiglu", F.silu), ("geglu", F.gelu), ("geglu_tanh", lambda x: F.gelu(x, approximate="tanh"))],
)
def test_gated_feed_forward_multiplies_gate_and_value(activation, function):
    made = FeedForward(ModelConfig(d_model=8, d_ff=12, num_heads=1, vocab_size=10, activation=activation, bias=False))
    gate, value = made.inner.weight[:12], made.inner.weight[12:]
    x = torch.randn(3, 8)
    torch.testing.assert_close(made(x), (function(x @ gate.T) * (x @ value.T)) @ made.outer.weight.T)
    assert [name for name, _ in made.named_parameters()] == ["inner.weight", "outer.weight"]


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda x: max(0.0, x)),
        ("gelu_tanh", lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("swiglu", lambda x: x / (1 + math.exp(-x))),
    ],
)
def test_activations_match_formulas(activation, function):
    made = FeedForward(ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=10, activation=activation))
    with torch.no_grad():
        made.inner.bias.zero_()
        made.outer.bias.zero_()
        made.inner.weight[:8] = made.outer.weight[:] = torch.eye(8)
        if made.gated:
            made.inner.weight[8:] = 0
            made.inner.bias[8:] = 1  # a value of 1 leaves the gate alone
    x = torch.linspace(-3, 3, 8)
    torch.testing.assert_close(made(x), torch.tensor([function(value) for value in x.tolist()]))


X = torch.tensor([3.0, -1.0, 4.0, -2.0, 6.0, 0.0, 2.0, 4.0])


def made_norm(**changes):
    return norm(ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=9, layer_norm_epsilon=0.5, **changes))


def test_rms_norm_divides_by_root_mean_square_and_keeps_mean():
    layer = made_norm(norm_kind="rms")
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 9.0))
    mean_square = (9 + 1 + 16 + 4 + 36 + 0 + 4 + 16) / 8
    torch.testing.assert_close(layer(X), X / (mean_square + 0.5) ** 0.5 * torch.arange(1.0, 9.0))
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_layer_norm_subtracts_mean_first():
    layer = made_norm()
    with torch.no_grad():
        layer.bias.fill_(7.0)
    variance = sum((x - 2) ** 2 for x in X.tolist()) / 8  # the mean is 2
    torch.testing.assert_close(layer(X), (X - 2) / (variance + 0.5) ** 0.5 + 7)


def test_layer_norm_without_bias_has_only_weight():
    assert [name for name, _ in made_norm(bias=False).named_parameters()] == ["weight"]


def test_norm_width_can_be_given():
    config = ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=9)
    assert norm(config, 5).weight.shape == (5,)
