"""The weights a training starts from: their sizes are the papers', and the seed alone fixes them."""

import math

import pytest
import torch

from models.config import ModelConfig
from models.torch import Decoder, Encoder, EncoderDecoder, LMHead, build, initialize

SMALL = {"d_model": 64, "d_ff": 128, "num_heads": 4, "num_layers": 8, "max_length": 64, "vocab_size": 500}


def started(part, seed=0, **changes):
    config = ModelConfig(**SMALL | changes)
    network = build(part, config)
    initialize(network, config, seed)
    return network


def test_xavier_is_uniform_and_embeddings_have_own_std():
    network = started("Encoder", initializer="xavier")
    for name, outputs, inputs in (("attention.qkv", 192, 64), ("feed_forward.inner", 128, 64)):
        weight, bound = network.layers[3].get_submodule(name).weight, math.sqrt(6 / (inputs + outputs))
        assert 0.98 * bound < weight.abs().max().item() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert network.embedding.tokens.weight[1:].std().item() == pytest.approx(1 / math.sqrt(64), rel=0.02)


def test_gpt2_initializer_shrinks_residual_projections():
    network = started("Decoder", initializer="gpt2", initializer_std=0.02)
    for layer in network.layers:
        for residual in (layer.attention.output, layer.feed_forward.outer):
            assert residual.weight.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
        for other in (layer.attention.qkv, layer.feed_forward.inner):
            assert other.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("initializer", ["normal", "xavier", "gpt2"])
def test_biases_and_padding_vector_are_zero_and_norms_one(initializer):
    network = started("Encoder", initializer=initializer)
    assert not network.embedding.tokens.weight[0].any()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("Encoder", {}),
        ("Decoder", {"initializer": "xavier"}),
        ("EncoderDecoder", {"initializer": "gpt2"}),
        ("Decoder", {"network": "recurrent"}),
        ("EncoderDecoder", {"network": "recurrent", "cell": "gru"}),
        ("Encoder", {"network": "convolutional", "kernel_sizes": "2,3"}),
    ],
)
def test_every_weight_is_drawn_from_the_seed(part, changes):
    first, again, other = (started(part, seed, **changes).state_dict() for seed in (1, 1, 2))
    torch.manual_seed(5)
    build(part, ModelConfig(**SMALL | changes))  # the global generator has no part in it
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if first[name].ndim > 1]
    assert drawn
    assert not [name for name in drawn if torch.equal(first[name], other[name])]


def test_source_and_target_share_one_embedding():
    network = started("EncoderDecoder")
    assert network.decoder.embedding.tokens.weight is network.encoder.embedding.tokens.weight
    assert isinstance(network, EncoderDecoder)
    assert isinstance(network.encoder, Encoder)
    assert isinstance(network.decoder, Decoder)


def test_untied_output_matrix_is_initialized():
    config = ModelConfig(**SMALL, tie_embeddings=False)
    head = LMHead(config)
    initialize(head, config, 0)
    assert head.output.weight.std().item() == pytest.approx(0.05, rel=0.02)
