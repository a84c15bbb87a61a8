"""The feed-forward layer by hand."""

import math

import torch

from models.config import ModelConfig
from models.torch import FeedForward


def layer():
    return FeedForward(ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=10))


def test_with_identities_it_is_gelu():
    feed_forward = layer()
    with torch.no_grad():
        for linear in (feed_forward.inner, feed_forward.outer):
            linear.weight.copy_(torch.eye(8))
            linear.bias.zero_()
    x = torch.linspace(-3, 3, 8)
    expected = torch.tensor([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])  # x Phi(x)
    torch.testing.assert_close(feed_forward(x), expected)


def test_each_position_is_by_itself():
    feed_forward, x = layer(), torch.randn(2, 3, 8)
    torch.testing.assert_close(feed_forward(x)[1, 2], feed_forward(x[1, 2]))
