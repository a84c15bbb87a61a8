"""The framework that computes, loaded by its name: all else sees a Network and a Backend.

Loaded where it is needed, since PyTorch takes a second and TensorFlow fifteen. PyTorch is imported by name, so that a fingerprint
counts its modules for every result; those of another framework are counted where a config chooses it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from models.devices import CPU, FRAMEWORKS, Compute, check_framework
from training.errors import TrainingError

if TYPE_CHECKING:
    from models.config import ModelConfig
    from models.network import Network, Parts
    from models.question import Objective
    from training.backend import Backend
    from training.options import TrainingOptions


def build_network(parts: Parts, config: ModelConfig, seed: int | None = None, compute: Compute = CPU) -> Network:
    """A network with weights drawn from the seed; without one it waits for `load_weights`. ValueError for parts that no network of
    this config has in this framework."""
    network: Any
    if compute.framework == "torch":
        from models.torch.torch_network import TorchNetwork

        network = TorchNetwork(parts, config, compute)
    else:
        module = importlib.import_module(f"models.{compute.framework}.{compute.framework}_network")
        network = getattr(module, f"{FRAMEWORKS[compute.framework]}Network")(parts, config, compute)
    if seed is not None:
        network.initialize(seed)
    return cast("Network", network)


def build_backend(network: Network, objective: Objective | Callable[..., Any], options: TrainingOptions) -> Backend:
    """A backend that trains a network of `build_network`; an objective with a teacher is a function of the framework."""
    framework = network.compute.framework
    if framework == "torch":
        from models.torch.torch_network import torch_network
        from training.torch.backend import TorchBackend

        return TorchBackend(torch_network(network), objective, options)
    module = importlib.import_module(f"training.{framework}.backend")
    return cast("Backend", getattr(module, f"{FRAMEWORKS[framework]}Backend")(network, objective, options))


def prepare(framework: str = "torch", root: Path | None = None) -> None:
    """Set everything that makes results repeatable, whatever the number of cores. TrainingError if the framework is not installed.

    JAX keeps its compiled programs in the folder `compiled` of the store at `root`: a cache, which may be deleted at any time.
    """
    from training.torch.backend import prepare

    try:
        check_framework(framework)
    except ValueError as error:
        raise TrainingError(str(error)) from None
    prepare()
    if framework != "torch":
        importlib.import_module(f"training.{framework}.backend").prepare(root and root / "compiled" / framework)
