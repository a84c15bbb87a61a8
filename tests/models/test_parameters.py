"""The framework-free list of parameters is that of the networks."""

import pytest

from models import parameters
from models.config import ModelConfig
from models.torch import Classifier, Encoder, MaskedLMHead


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_torch_has_these_names_and_shapes(norm):
    config = ModelConfig(d_model=24, d_ff=40, num_heads=3, num_layers=2, max_length=10, vocab_size=50, norm=norm)
    assert shapes(Encoder(config)) == parameters.encoder(config)
    assert shapes(MaskedLMHead(config)) == parameters.masked_lm_head(config)
    assert shapes(Classifier(config, 7)) == parameters.classifier(config, 7)


def test_the_default_encoder_has_as_many_parameters_as_the_formula_says():
    config = ModelConfig(vocab_size=8192)
    d, f, n = config.d_model, config.d_ff, config.num_layers
    layer = 4 * d * d + 4 * d + 2 * d * f + d + f + 4 * d
    expected = (8192 + config.max_length) * d + n * layer + 2 * d
    assert sum(value.numel() for value in Encoder(config).parameters()) == expected
