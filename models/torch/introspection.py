"""A network's parameters and FLOPs, asked of the network itself: built and run without memory, on PyTorch's `meta` device.

For what `models/parameters.py` and `models/show/flops.py` have no formula of; those that they have are tested against this.
"""

from __future__ import annotations

import importlib

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.config import ModelConfig
from models.torch.networks import FAMILY, build


def parts_of(config: ModelConfig) -> list[str]:
    """The parts of a config's family; empty if there is no such family."""
    try:
        family = importlib.import_module(f"models.torch.{config.network}")
    except ImportError:
        return []
    return [part for part in FAMILY if hasattr(family, part)]


def build_on_meta(part: str, config: ModelConfig) -> nn.Module:
    """One part, with shapes and no numbers. ValueError if the family has no such part."""
    with torch.device("meta"):
        return build(part, config).eval()


def shapes_of(part: str, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The names and shapes of its parameters, each once."""
    return {name: tuple(value.shape) for name, value in build_on_meta(part, config).named_parameters()}


def flops_of(part: str, config: ModelConfig, length: int) -> int:
    """FLOPs of its matrix products (2 a multiplication and addition) for one sequence, or pair of them, or image."""
    network = build_on_meta(part, config)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        if config.image_height:
            network(torch.zeros(1, config.image_channels, config.image_height, config.image_width))
        elif part == "EncoderDecoder":
            ids = torch.zeros(1, length, dtype=torch.long)
            network(ids, None, ids)
        else:
            network(torch.zeros(1, length, dtype=torch.long))
    return int(counter.get_total_flops())
