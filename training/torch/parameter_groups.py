"""Parameters of a network by what is done to them in training: which learn, and in which groups of an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from torch import nn

from models.network import TRUNK
from models.torch.torch_network import TorchNetwork
from training.depths import frozen_names
from training.options import TrainingOptions

Named = Mapping[str, nn.Parameter]
Item = TypeVar("Item")


def trainable(named: Named, options: TrainingOptions) -> dict[str, nn.Parameter]:
    """The parameters that learn; the others are marked as constants. TrainingError if there are fewer layers than are frozen."""
    constant = frozen_names(named, options)
    for name in constant:
        named[name].requires_grad_(False)
    return {name: parameter for name, parameter in named.items() if name not in constant}


def groups(named: Named, scales: Mapping[str, float], weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimizer: `params`, their `weight_decay`, and the `scale` of their learning rate.

    Decay pulls matrices to zero; for biases and norms that would be a loss without a gain.
    """
    found: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        found.setdefault((parameter.ndim <= 1, scales[name]), []).append(parameter)
    return [
        {"params": found[key], "weight_decay": 0.0 if key[0] else weight_decay, "scale": key[1]}
        for key in sorted(found)
    ]


def parts_of(items: Iterable[Item], size: Callable[[Item], int], count: int) -> list[list[Item]]:
    """The items in at most so many parts of about the same size, the largest part first."""
    parts: list[list[Item]] = [[] for _ in range(count)]
    sizes = [0] * count
    for item in sorted(items, key=size, reverse=True):
        smallest = sizes.index(min(sizes))
        parts[smallest].append(item)
        sizes[smallest] += size(item)
    return [part for _, part in sorted(zip(sizes, parts, strict=True), key=lambda pair: -pair[0]) if part]


def hidden_matrices(network: TorchNetwork) -> set[str]:
    """Names of the weights of the trunk's linear layers: no embeddings, and nothing of the heads."""
    trunks = [network.module.get_submodule(name) for name in TRUNK if name in network.parts]
    linear = [layer for trunk in trunks for layer in trunk.modules() if isinstance(layer, nn.Linear)]
    weights = {id(cast(nn.Parameter, layer.weight)) for layer in linear}
    return {name for name, parameter in network.module.named_parameters() if id(parameter) in weights}
