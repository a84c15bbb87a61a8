"""A network with its head, from a config and the names of its parts, as the tasks put them together.

For what knows networks and no tasks: weights that come and go, ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.heads import Classifier, LMHead, MaskedLMHead
from models.torch.networks import build

if TYPE_CHECKING:
    from numpy.typing import NDArray


def assemble(config: ModelConfig, parts: tuple[str, ...], labels: int = 0) -> nn.ModuleDict:
    """Children `encoder`, `decoder`, `head` and `classifier`, as far as `parts` (models/huggingface/family.py) has them."""
    if "encoder" in parts and "decoder" in parts:
        whole = build("EncoderDecoder", config)
        network = nn.ModuleDict({"encoder": whole.get_submodule("encoder"), "decoder": whole.get_submodule("decoder")})
    else:
        network = nn.ModuleDict(
            {"encoder": build("Encoder", config)} if "encoder" in parts else {"decoder": build("Decoder", config)}
        )
    if "masked_lm" in parts:
        network["head"] = MaskedLMHead(config)
    if "lm" in parts:
        network["head"] = LMHead(config)
    if "classifier" in parts:
        network["classifier"] = Classifier(config, labels)
    if "image_classifier" in parts:
        network["classifier"] = Classifier(config, labels, hidden=False)
    return network


def fill(network: nn.ModuleDict, weights: Mapping[str, NDArray[Any]]) -> nn.ModuleDict:
    """The network with these weights, for asking it and not for training. ValueError names a parameter that is not given."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name not in weights or weights[name].shape != tuple(parameter.shape):
                raise ValueError(f"parameter {name} is missing or of another shape")
            parameter.copy_(torch.from_numpy(weights[name]))
    return network.eval().requires_grad_(False)


class EncoderWithClassifier(nn.Module):
    """An encoder with its classifier, if it has one: (input_ids, attention_mask), or (pixels) -> what it says."""

    def __init__(self, network: nn.ModuleDict) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T] and [B, T] -> logits [B, C], or memory [B, T, D]."""
        memory: Tensor = self.network["encoder"](inputs, attention_mask)
        if "classifier" not in self.network:
            return memory
        logits: Tensor = self.network["classifier"](memory, attention_mask)
        return logits
