"""A network with its head, from a config and the names that a folder of weights gives its parts.

For code that knows networks and no tasks: weights that come and go, ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.network import Part
from models.torch.task_network import TaskNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADS = {"masked_lm": "MaskedLMHead", "lm": "LMHead"}


def assemble(config: ModelConfig, names: tuple[str, ...], labels: int = 0) -> TaskNetwork:
    """Children `encoder`, `decoder`, `head` and `classifier`, as far as `names` (models/huggingface/family.py) has them."""
    parts: dict[str, Part] = {}
    if "encoder" in names:
        parts["encoder"] = Part("EncoderDecoder" if "decoder" in names else "Encoder")
    elif "decoder" in names:
        parts["decoder"] = Part("Decoder")
    for name in names:
        if name in _HEADS:
            parts["head"] = Part(_HEADS[name])
        elif name in ("classifier", "image_classifier"):
            parts["classifier"] = Part("Classifier", {"num_labels": labels, "hidden": name == "classifier"})
    return TaskNetwork(parts, config)


def fill(network: TaskNetwork, weights: Mapping[str, NDArray[Any]]) -> TaskNetwork:
    """The network with these weights, for asking it and not for training. ValueError names a parameter that is not given."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name not in weights or weights[name].shape != tuple(parameter.shape):
                raise ValueError(f"parameter {name} is missing or of another shape")
            parameter.copy_(torch.from_numpy(weights[name]))
    return network.eval().requires_grad_(False)


class EncoderWithClassifier(nn.Module):
    """An encoder with its classifier, if it has one: (input_ids, attention_mask), or (pixels) -> logits or vectors."""

    def __init__(self, network: TaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T] and [B, T] -> logits [B, C], or memory [B, T, D]."""
        memory: Tensor = self.network.get_submodule("encoder")(inputs, attention_mask)
        if "classifier" not in self.network.heads:
            return memory
        logits: Tensor = self.network.get_submodule("classifier")(memory, attention_mask)
        return logits
