"""Parameters by their depth in the network: which of them learn, and how fast.

    freeze_layers   the embedding and the first n layers keep their weights: Howard and Ruder 2018, "ULMFiT" (arXiv 1801.06146),
                    section 3.3, unfreeze from the top; here what is frozen stays frozen (Lee et al. 2019, arXiv 1911.03090)
    layer_decay     the rate of each layer is the rate of the layer above times d: ULMFiT, section 3.2, "discriminative
                    fine-tuning"; so fine-tuned Clark et al. 2020, "ELECTRA" (arXiv 2003.10555), appendix B, and Bao et
                    al. 2022, "BEiT" (arXiv 2106.08254)

Depth 0 is the embedding, n the n-th layer; a decoder's layers come after its encoder's. Final norms go with the layer below
them. Heads are one above the last layer: only their rate is the whole one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from torch import nn

from models.torch.task_network import TRUNK
from models.torch.torch_network import TorchNetwork
from training.errors import TrainingError
from training.options import TrainingOptions

Named = Mapping[str, nn.Parameter]
Item = TypeVar("Item")
_LAYER = re.compile(rf"({'|'.join(TRUNK)})\.(?:layers|blocks)\.(\d+)\.")
_BELOW = ("embedding", "stem", "stem_norm", "relative")  # children of an encoder or decoder that come before its layers


def depths(names: Iterable[str]) -> dict[str, int]:
    """The depth of each parameter of a network. TrainingError if a part has no layers one after another."""
    names = list(names)
    layers = [(match[1], int(match[2]) + 1) for name in names if (match := _LAYER.match(name))]
    first, last, below = {}, {}, 0  # of each part: layers before it, and with it
    for part in (part for part in TRUNK if any(name.startswith(f"{part}.") for name in names)):
        count = max((number for owner, number in layers if owner == part), default=0)
        if not count:
            raise TrainingError(
                f"the {part} of this network has no numbered layers: set freeze_layers=0, layer_decay=1"
            )
        first[part], last[part], below = below, below + count, below + count
    found = {}
    for name in names:
        part, _, rest = name.partition(".")
        if part not in first:
            found[name] = below + 1
        elif match := _LAYER.match(name):
            found[name] = first[part] + int(match[2]) + 1
        else:
            found[name] = 0 if rest.partition(".")[0] in _BELOW else last[part]
    return found


def trainable(named: Named, options: TrainingOptions) -> dict[str, nn.Parameter]:
    """The parameters that learn; the others are marked as constants. TrainingError if there are fewer layers than are frozen."""
    if not options.freeze_layers:
        return dict(named)
    depth = depths(named)
    layers = max(number for name, number in depth.items() if name.partition(".")[0] in TRUNK)
    if options.freeze_layers > layers:
        raise TrainingError(f"freeze_layers={options.freeze_layers}: the network has {layers} layers; freeze fewer")
    learning = {name: parameter for name, parameter in named.items() if depth[name] > options.freeze_layers}
    if not learning:
        raise TrainingError(f"freeze_layers={options.freeze_layers} leaves nothing to train; freeze fewer")
    for name in named.keys() - learning.keys():
        named[name].requires_grad_(False)
    return learning


def rate_scales(names: Iterable[str], options: TrainingOptions) -> dict[str, float]:
    """The factor of each parameter's learning rate, by the names of all of the network."""
    names = list(names)
    if options.layer_decay == 1:
        return dict.fromkeys(names, 1.0)
    depth = depths(names)
    top = max(depth.values())
    return {name: options.layer_decay ** (top - number) for name, number in depth.items()}


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
