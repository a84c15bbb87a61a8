"""Compiled layers: PyTorch makes kernels of a transformer's layer, in any shape, once for all layers that are alike.

A layer, and not the whole network: compiling takes a tenth of the time, and little is gained beyond a layer's end. Decoding and maps
of attention stay as they are (`eager`): their shapes change with each token.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn

from models.torch.decoder import DecoderLayer
from models.torch.encoder import EncoderLayer


def compile_layers(network: nn.Module) -> None:
    """Compile the transformer layers of a network at their first use. ValueError if it has none."""
    layers = [module for module in network.modules() if isinstance(module, EncoderLayer | DecoderLayer)]
    if not layers:
        raise ValueError("compile=true is for transformers: this network has no such layers; set compile=false")
    for layer in layers:
        layer.compile(dynamic=True)


def eager() -> AbstractContextManager[Any]:
    """Within, compiled layers compute as if they were not."""
    return cast(AbstractContextManager[Any], torch.compiler.set_stance("force_eager"))
