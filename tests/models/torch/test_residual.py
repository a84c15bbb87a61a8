"""The residual network: its blocks by hand, its sizes as the paper's, and nothing that is no parameter."""

import pytest
import torch
import torch.nn.functional as F

from models import presets
from models.config import Architecture, ModelConfig
from models.torch import build, initialize
from models.torch.residual import Block, Encoder

IMAGE = {"image_height": 9, "image_width": 6, "image_channels": 3}


def encoder(**changes):
    config = ModelConfig(**{"network": "residual", "num_layers": 6, "d_model": 16, **IMAGE, **changes})
    network = build("Encoder", config)
    initialize(network, config, 0)
    return network.eval()


def test_block_adds_two_convolutions_to_downsampled_shortcut():
    block, x = Block(4, 8, 2), torch.randn(2, 4, 6, 6)
    inner = F.relu(F.group_norm(F.conv2d(x, block.first.weight, stride=2, padding=1), 1))
    added = F.group_norm(F.conv2d(inner, block.second.weight, padding=1), 1)
    shortcut = torch.cat([x[:, :, ::2, ::2], torch.zeros(2, 4, 3, 3)], 1)
    torch.testing.assert_close(block(x), F.relu(shortcut + added))


def test_block_with_zero_weights_passes_input_through():
    block, x = Block(8, 8, 1), torch.randn(1, 8, 5, 5)
    torch.nn.init.zeros_(block.second.weight)
    torch.testing.assert_close(block(x), F.relu(x))


def test_encoder_quarters_image_sides_and_gives_d_model_vectors():
    network = encoder()
    assert network(torch.randn(2, 3, 9, 6)).shape == (2, 3 * 2, 16)
    assert network.grid == (3, 2)


def test_cnn_preset_matches_paper_resnet_20():
    config = ModelConfig.of(Architecture(preset="cnn"), image_height=32, image_width=32, image_channels=3)
    network = Encoder(config)
    assert presets.read("cnn")["network"] == "residual"
    convolutions = [name for name, value in network.named_parameters() if value.ndim == 4]
    assert len(convolutions) + 1 == 20, "6 n + 2 layers with n = 3, the classifier among them"
    weights = sum(value.numel() for value in network.parameters()) + 65 * 10
    assert round(weights / 1e6, 2) == 0.27, "table 6"
    assert network(torch.randn(1, 3, 32, 32)).shape == (1, 64, 64)


def test_image_output_does_not_depend_on_batch_and_network_has_no_buffers():
    network, images = encoder().train(), torch.randn(4, 3, 9, 6)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))
    assert not list(network.buffers())
    assert not [module for module in network.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_layers": 4}, "num_layers=4 must be a multiple of 3"),
        ({"d_model": 18, "num_heads": 2}, "d_model=18 of 4"),
        ({"image_height": 0}, "network=residual is for images"),
    ],
)
def test_invalid_residual_config_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        encoder(**changes)
