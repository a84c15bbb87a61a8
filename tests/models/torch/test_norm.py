"""The norms by hand."""

import torch

from models.config import ModelConfig
from models.torch.norm import norm

X = torch.tensor([3.0, -1.0, 4.0, -2.0, 6.0, 0.0, 2.0, 4.0])


def made(**changes):
    return norm(ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=9, layer_norm_epsilon=0.5, **changes))


def test_rms_norm_divides_by_root_mean_square_and_keeps_mean():
    layer = made(norm_kind="rms")
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 9.0))
    mean_square = (9 + 1 + 16 + 4 + 36 + 0 + 4 + 16) / 8
    torch.testing.assert_close(layer(X), X / (mean_square + 0.5) ** 0.5 * torch.arange(1.0, 9.0))
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_layer_norm_subtracts_mean_first():
    layer = made()
    with torch.no_grad():
        layer.bias.fill_(7.0)
    variance = sum((x - 2) ** 2 for x in X.tolist()) / 8  # the mean is 2
    torch.testing.assert_close(layer(X), (X - 2) / (variance + 0.5) ** 0.5 + 7)


def test_layer_norm_without_bias_has_only_weight():
    assert [name for name, _ in made(bias=False).named_parameters()] == ["weight"]


def test_norm_width_can_be_given():
    config = ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=9)
    assert norm(config, 5).weight.shape == (5,)
