"""The weights that a training starts from.

    normal   N(0, std); Devlin et al. 2019 (google-research/bert, modeling.py)
    xavier   U(-a, a), a = sqrt(6 / (inputs + outputs)); Glorot and Bengio 2010, equation 16. Embeddings: N(0, 1/D)
    gpt2     as normal, but what is added to the residual stream by 1/sqrt(2 layers); Radford et al. 2019, section 2.3

Biases 0, norms 1, padding's vector 0.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from models.config import ModelConfig


def initialize(network: nn.Module, config: ModelConfig, generator: torch.Generator) -> None:
    """Draw every weight of a network, in the order of its modules."""
    for name, module in network.named_modules():
        if hasattr(module, "initialize"):  # a module with an initialization of its own, as in its paper
            module.initialize(config, generator)
        elif isinstance(module, nn.Linear | nn.Embedding | nn.Conv1d | nn.Conv2d):
            _draw(name, module, config, generator)


def _draw(
    name: str, module: nn.Linear | nn.Embedding | nn.Conv1d | nn.Conv2d, config: ModelConfig, generator: torch.Generator
) -> None:
    std = config.initializer_std
    if config.initializer == "xavier" and not isinstance(module, nn.Embedding):
        nn.init.xavier_uniform_(module.weight, generator=generator)
    else:
        if config.initializer == "xavier":
            std = module.weight.shape[-1] ** -0.5
        elif config.initializer == "gpt2" and name.endswith(("attention.output", "feed_forward.outer")):
            std /= math.sqrt(2 * config.num_layers)
        nn.init.normal_(module.weight, std=std, generator=generator)
    if isinstance(module, nn.Embedding):
        if module.padding_idx is not None:
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
    elif module.bias is not None:
        nn.init.zeros_(module.bias)
