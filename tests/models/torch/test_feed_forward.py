"""The feed-forward layer by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.config import ModelConfig
from models.torch import FeedForward


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
