"""Start weights, which numpy draws, put into a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from models.config import ModelConfig
from models.initialization import start


@torch.no_grad()
def initialize(network: nn.Module, config: ModelConfig, seed: int) -> None:
    """Give every parameter its start; see `models/initialization.py`."""
    for name, parameter in network.named_parameters():
        value = start(name, tuple(parameter.shape), config, seed)
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))
