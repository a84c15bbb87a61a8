"""Families of networks: `config.network` names a file of this folder, and each has some of three classes.

    Encoder(config)         (input_ids [B, T], attention_mask) -> memory [B, T, D]; of images, pixels [B, C, H, W] -> [B, T, D]
    Decoder(config)         (input_ids [B, T], attention_mask) -> [B, T, D], of what came before; `cache(rows, columns)`
    EncoderDecoder(config)  (source, source_mask, target) -> [B, T, D]; `encoder`, `decoder`, `cache(source, mask, columns)`

All of text have their token vectors as `embedding.tokens`, and those that attend `attention_maps`. Tasks put heads on them.
"""

from __future__ import annotations

import importlib

from torch import nn

from models.config import ModelConfig

FAMILY = ("Encoder", "Decoder", "EncoderDecoder")


def build(part: str, config: ModelConfig) -> nn.Module:
    """The network of a config. ValueError if its family has no such part."""
    try:
        family = importlib.import_module(f"models.torch.{config.network}")
        made = getattr(family, part)
    except (ImportError, AttributeError):
        raise ValueError(f"network={config.network} has no {part}; choose another network, or preset") from None
    network: nn.Module = made(config)
    return network
