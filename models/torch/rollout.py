"""Attention rollout: each image patch's share in the classifier's input, through all layers.

    A~ = I/2 + mean over heads(A) / 2;  R = A~_L ... A~_1        Abnar and Zuidema 2020 (arXiv 2005.00928), section 3

A residual connection carries half, the attention the other half. The classifier's pooling then says whose row of R counts.

Shapes: B images, H heads, T vectors of an image, N = R S patches in a grid of R rows and S columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network import Network
from models.torch.devices import tensor_of
from models.torch.encoder import Encoder
from models.torch.heads import Classifier
from models.torch.patches import ImageEmbedding
from models.torch.torch_network import module_of


def rollout(maps: Sequence[Tensor]) -> Tensor:
    """Attention maps [B, H, T, T] of each layer, the first one first -> R [B, T, T], whose rows sum to 1."""
    size = maps[0].shape[-1]
    one = torch.eye(size, device=maps[0].device)
    reached = one.expand(len(maps[0]), size, size)
    for weights in maps:
        reached = (one + weights.mean(1)) / 2 @ reached
    return reached


def patch_attention(network: Network, pixels: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """[B, C, H, W] -> [B, R, S]: share of each patch that reached the classifier; None for networks without attention."""
    module = module_of(network).eval()
    reached = reach_of_patches(module, tensor_of(pixels, module.device))
    return None if reached is None else reached.cpu().double().numpy()


def reach_of_patches(network: nn.Module, pixels: Tensor) -> Tensor | None:
    """The same of tensors."""
    encoder = network.get_submodule("encoder")
    if not isinstance(encoder, Encoder) or not isinstance(encoder.embedding, ImageEmbedding):
        return None
    with torch.no_grad():
        reached = rollout(encoder.attention_maps(pixels))
        seen = _pooling_weights(network.get_submodule("classifier"), encoder(pixels))  # [B, T]
    patches = (seen.unsqueeze(1) @ reached).squeeze(1)
    rows, columns = encoder.embedding.grid
    return patches[:, -rows * columns :].view(-1, rows, columns)  # without the class token, which is first


def _pooling_weights(classifier: nn.Module, memory: Tensor) -> Tensor:
    """The weight of each vector of a memory [B, T, D] in the pooled one, [B, T]."""
    assert isinstance(classifier, Classifier)
    if classifier.pool is not None:
        return classifier.pool.weights(memory)
    weights = memory.new_zeros(memory.shape[:2])
    if classifier.pooling == "cls":
        weights[:, 0] = 1
    elif classifier.pooling == "last":
        weights[:, -1] = 1
    else:  # of max, the mean is the nearest that is linear
        weights += 1 / memory.shape[1]
    return weights
