"""The framework that computes. It is named here alone: all else sees a Network and a Backend.

Loaded where it is needed, since it takes a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from models.devices import CPU, Compute

if TYPE_CHECKING:
    from models.config import ModelConfig
    from models.network import Network, Parts
    from models.question import Objective
    from training.backend import Backend
    from training.options import TrainingOptions


def build_network(parts: Parts, config: ModelConfig, seed: int | None = None, compute: Compute = CPU) -> Network:
    """A network with weights drawn from the seed; without one it waits for `load_weights`. ValueError for parts that no network of
    this config has."""
    from models.torch.torch_network import TorchNetwork

    network = TorchNetwork(parts, config, compute)
    if seed is not None:
        network.initialize(seed)
    return network


def build_backend(network: Network, objective: Objective | Callable[..., Any], options: TrainingOptions) -> Backend:
    """A backend that trains a network of `build_network`; an objective with a teacher is a function of the framework."""
    from models.torch.torch_network import TorchNetwork
    from training.torch.backend import TorchBackend

    assert isinstance(network, TorchNetwork)
    return TorchBackend(network, objective, options)


def prepare() -> None:
    """Set everything that makes results repeatable, whatever the number of cores."""
    from training.torch.backend import prepare

    prepare()
