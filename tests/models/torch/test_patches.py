"""Patches against transformers' ViT and against what can be worked out by hand; CCT's stem; positions of a grid."""

import math

import pytest
import torch
from torch import nn

from models import parameters
from models.config import ModelConfig
from models.torch import Encoder, initialize
from models.torch.patches import ConvolutionalStem, Patches, sinusoidal_of_grid

SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 4, "num_layers": 2}
IMAGE = {"image_height": 6, "image_width": 8, "image_channels": 3}


def config_of(**changes):
    return ModelConfig(**{**SMALL, **IMAGE, "patch_size": 2, "pooling": "cls", **changes})


def encoder(config):
    network = Encoder(config)
    initialize(network, config, 0)
    return network.eval()


def theirs_of(ours, config):
    """transformers' ViT with our encoder's weights."""
    from transformers import ViTConfig, ViTModel

    theirs = ViTModel(
        ViTConfig(
            hidden_size=config.d_model, num_hidden_layers=config.num_layers, num_attention_heads=config.num_heads,
            intermediate_size=config.d_ff, hidden_act="gelu", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            layer_norm_eps=config.layer_norm_epsilon, image_size=(config.image_height, config.image_width),
            patch_size=config.patch_size, num_channels=config.image_channels,
        ),
        add_pooling_layer=False,
    ).eval()  # fmt: skip
    mine = dict(ours.named_parameters())
    names = {
        "embeddings.cls_token": "embedding.class_token.weight",
        "embeddings.position_embeddings": "embedding.positions.weight",
        "embeddings.patch_embeddings.projection": "embedding.patches",
        "layernorm": "final_norm",
    }
    for number in range(config.num_layers):
        layer = f"layers.{number}"
        names |= {
            f"{layer}.attention.o_proj": f"{layer}.attention.output",
            f"{layer}.layernorm_before": f"{layer}.attention_norm",
            f"{layer}.layernorm_after": f"{layer}.feed_forward_norm",
            f"{layer}.mlp.fc1": f"{layer}.feed_forward.inner",
            f"{layer}.mlp.fc2": f"{layer}.feed_forward.outer",
        }
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            stem, _, kind = name.rpartition(".")
            if name in names:
                value = mine[names[name]]
            elif stem in names:
                value = mine[f"{names[stem]}.{kind}"]
            else:  # query, key or value of one matrix of ours
                layer, which = stem.split(".attention.")
                value = mine[f"{layer}.attention.qkv.{kind}"].chunk(3)[["q_proj", "k_proj", "v_proj"].index(which)]
            parameter.copy_(value.view_as(parameter))
    return theirs


def test_encoder_matches_transformers_vit():
    config = config_of(layer_norm_epsilon=1e-6)
    ours, pixels = encoder(config), torch.randn(3, 3, 6, 8)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        theirs = theirs_of(ours, config)
        torch.testing.assert_close(ours(pixels), theirs(pixels).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_patch_vector_is_pixel_square_times_matrix():
    config = config_of(positions="none", pooling="mean")
    embedding, pixels = encoder(config).embedding, torch.randn(1, 3, 6, 8)
    assert isinstance(embedding, Patches)
    assert embedding.grid == (3, 4)
    found = embedding(pixels)[0]
    row, column = 2, 1
    square = pixels[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]  # [C, P, P]
    expected = embedding.patches.weight.flatten(1) @ square.flatten() + embedding.patches.bias
    torch.testing.assert_close(found[row * 4 + column], expected)


def test_patch_order_matters_only_with_positions():
    pixels = torch.randn(1, 3, 6, 8)
    turned = pixels.flip(2).view(1, 3, 3, 2, 8).flip(3).view(1, 3, 6, 8)  # rows of patches upside down, patches upright
    for positions, same in (("none", True), ("learned", False), ("sinusoidal", False)):
        network = encoder(config_of(positions=positions, pooling="mean"))
        assert torch.allclose(network(pixels).mean(1), network(turned).mean(1), atol=1e-5) == same, positions


def test_grid_sinusoids_encode_row_and_column():
    found = sinusoidal_of_grid((3, 4), 8).view(3, 4, 8)
    assert found.shape == (3, 4, 8)
    row, column = 2, 3
    expected = [
        math.sin(row), math.cos(row), math.sin(row / 100), math.cos(row / 100),
        math.sin(column), math.cos(column), math.sin(column / 100), math.cos(column / 100),
    ]  # fmt: skip
    torch.testing.assert_close(found[row, column], torch.tensor(expected))
    assert len(found.view(12, 8).unique(dim=0)) == 12


def test_class_token_has_no_sinusoidal_position():
    embedding = encoder(config_of(positions="sinusoidal")).embedding
    assert not embedding(torch.randn(1, 3, 6, 8))[0, 0].any(), "it starts at 0, and so does its place"


def test_cct_stem_matches_convolution_relu_and_pooling():
    config = config_of(patch_size=0, convolutional_stem=True, stem_layers=2, positions="none", pooling="sequence")
    network = encoder(config)
    stem = network.embedding
    assert isinstance(stem, ConvolutionalStem)
    plain = nn.Sequential(
        nn.Conv2d(3, 64, 3, 1, 1, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(64, 16, 3, 1, 1, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(2, 3),
    )
    with torch.no_grad():
        plain[0].weight.copy_(stem.convolutions[0].weight)
        plain[3].weight.copy_(stem.convolutions[1].weight)
    pixels = torch.randn(2, 3, 6, 8)
    torch.testing.assert_close(stem(pixels), plain(pixels).transpose(1, 2))
    assert stem.grid == (2, 2)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_stem_grid_matches_output_shape(kernel, layers):
    config = config_of(patch_size=0, convolutional_stem=True, stem_layers=layers, stem_kernel=kernel, image_width=11)
    stem = encoder(config).embedding
    assert stem.vectors(torch.randn(1, 3, 6, 11)).shape == (1, 16, *stem.grid)


@pytest.mark.parametrize("changes", [
    {}, {"pooling": "mean"}, {"positions": "sinusoidal"}, {"norm": "post"}, {"positions": "rope"},
    {"patch_size": 0, "convolutional_stem": True}, {"patch_size": 0, "convolutional_stem": True, "stem_layers": 3},
])  # fmt: skip
def test_names_and_shapes_match_framework_free_list(changes):
    config = config_of(**changes)
    network = encoder(config)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == parameters.encoder(config)
    assert not list(network.buffers()), "what is no parameter is in no checkpoint"


def test_attention_maps_cover_the_patches_and_the_class_token():
    maps = encoder(config_of()).attention_maps(torch.randn(2, 3, 6, 8))
    assert [m.shape for m in maps] == [(2, 4, 13, 13)] * 2
    torch.testing.assert_close(maps[1].sum(-1), torch.ones(2, 4, 13))


def test_initial_weights_match_paper_code():
    config = config_of(d_model=256, num_heads=4, patch_size=1, image_height=16, image_width=16)
    embedding = encoder(config).embedding
    assert embedding.positions.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert embedding.patches.weight.std().item() == pytest.approx(3**-0.5, rel=0.1)
    assert not embedding.class_token.weight.any()
    stem = encoder(config.with_changes({"patch_size": 0, "convolutional_stem": True})).embedding
    assert stem.convolutions[0].weight.std().item() == pytest.approx((2 / 27) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patch_size": 4}, "patch_size=4 does not divide images of 8 x 6 pixels"),
        ({"patch_size": 0}, "needs patch_size or convolutional_stem, one of them"),
        ({"convolutional_stem": True}, "needs patch_size or convolutional_stem, one of them"),
        ({"d_model": 18, "num_heads": 3, "positions": "sinusoidal"}, "a d_model that 4 divides; it is 18"),
    ],
)
def test_invalid_image_config_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        Encoder(config_of(**changes))
