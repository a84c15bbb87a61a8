"""Attention rollout against its definition, and what of it reaches each kind of pooling."""

import numpy as np
import pytest
import torch

from models.config import ModelConfig
from models.network import Part
from models.torch.rollout import patch_attention, reach_of_patches, rollout
from models.torch.torch_network import TorchNetwork

PARTS = {"encoder": Part("Encoder"), "classifier": Part("Classifier", {"num_labels": 2})}


def network_of(**changes):
    config = ModelConfig(**{
        "d_model": 8, "d_ff": 8, "num_heads": 2, "num_layers": 2, "patch_size": 2, "image_height": 4, "image_width": 6,
        "image_channels": 1, "initializer_std": 0.5, **changes,
    })  # fmt: skip
    network = TorchNetwork(PARTS, config)
    network.initialize(0)
    return network


def test_rollout_is_the_product_of_half_attention_and_half_identity():
    first, second = (torch.rand(2, 3, 4, 4).softmax(-1) for _ in range(2))
    found = rollout([first, second])
    for image in range(2):
        layers = [(torch.eye(4) + weights[image].mean(0)) / 2 for weights in (first, second)]
        torch.testing.assert_close(found[image], layers[1] @ layers[0])
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 4))


def test_rollout_of_identity_attention_is_identity():
    one = torch.eye(5).expand(1, 2, 5, 5)
    torch.testing.assert_close(rollout([one, one]), torch.eye(5).unsqueeze(0))


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "last", "sequence"])
def test_patch_attention_has_grid_shape_for_every_pooling(pooling):
    network, pixels = network_of(pooling=pooling), np.random.default_rng(0).standard_normal((3, 1, 4, 6), np.float32)
    reached = patch_attention(network, pixels)
    assert reached.shape == (3, 2, 3)
    assert (reached >= 0).all()
    if pooling == "cls":
        assert (reached.sum((1, 2)) < 1).all(), "the class token keeps a part of its own"
    else:
        np.testing.assert_allclose(reached.sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        reached, reach_of_patches(network.module.eval(), torch.from_numpy(pixels)).double().numpy()
    )


def test_network_without_attention_has_no_patch_attention():
    network = network_of(network="residual", num_layers=3, patch_size=0)
    assert patch_attention(network, np.zeros((1, 1, 4, 6), np.float32)) is None
