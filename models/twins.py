"""PyTorch's choices that Flax and TensorFlow have too, and one line, with its remedy, that refuses any other."""

from __future__ import annotations

from collections.abc import Mapping

from models.config import ModelConfig
from models.devices import Compute

# Of each choice the values that they have; the first is the one to choose.
_OF_NETWORKS = {"network": ("transformer",), "unpadding": (False,), "bigram_buckets": (0,)}
OF_COMPUTE = {"precision": ("float32", "auto"), "compile": ("false", "auto")}


def missing_choice(framework: str, chosen: Mapping[str, object], values: Mapping[str, tuple[object, ...]]) -> str:
    """The first choice, of those that `values` names, that a framework does not have, and the remedy, in one line; empty if it has all
    of them."""
    if framework == "torch":
        return ""
    for name, (first, *others) in values.items():
        if (value := chosen[name]) not in (first, *others):
            shown, remedy = (str(one).lower() if isinstance(one, bool) else one for one in (value, first))
            return f"framework={framework} has no {name}={shown}: set {name}={remedy}, or framework=torch, which has it"
    return ""


def check_network(framework: str, config: ModelConfig) -> None:
    """ValueError for a config whose networks PyTorch alone has."""
    if problem := missing_choice(framework, dict(config), _OF_NETWORKS):
        raise ValueError(problem)


def check_compute(framework: str, compute: Compute) -> None:
    """ValueError for a precision, or a compilation, that is PyTorch's alone."""
    chosen = {"precision": compute.precision, "compile": str(compute.compiled).lower()}
    if problem := missing_choice(framework, chosen, OF_COMPUTE):
        raise ValueError(problem)


def check_weights(shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError that names a parameter which is missing, left over or of another shape."""
    if odd := sorted(shapes.keys() ^ given.keys()):
        raise ValueError(f"parameters do not fit the network: {', '.join(odd[:3])}")
    for name, shape in shapes.items():
        if given[name] != shape:
            raise ValueError(f"{name} is {list(given[name])}, where the network has {list(shape)}")
