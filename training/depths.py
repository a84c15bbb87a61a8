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
from collections.abc import Iterable

from models.network import TRUNK
from training.errors import TrainingError
from training.options import TrainingOptions

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


def frozen_names(names: Iterable[str], options: TrainingOptions) -> set[str]:
    """The parameters that do not learn. TrainingError if there are fewer layers than are frozen, or nothing is left."""
    names = list(names)
    if not options.freeze_layers:
        return set()
    depth = depths(names)
    layers = max(number for name, number in depth.items() if name.partition(".")[0] in TRUNK)
    if options.freeze_layers > layers:
        raise TrainingError(f"freeze_layers={options.freeze_layers}: the network has {layers} layers; freeze fewer")
    found = {name for name in names if depth[name] <= options.freeze_layers}
    if len(found) == len(names):
        raise TrainingError(f"freeze_layers={options.freeze_layers} leaves nothing to train; freeze fewer")
    return found


def rate_scales(names: Iterable[str], options: TrainingOptions) -> dict[str, float]:
    """The factor of each parameter's learning rate, by the names of all of the network."""
    names = list(names)
    if options.layer_decay == 1:
        return dict.fromkeys(names, 1.0)
    depth = depths(names)
    top = max(depth.values())
    return {name: options.layer_decay ** (top - number) for name, number in depth.items()}
