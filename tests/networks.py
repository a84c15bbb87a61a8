"""A task's untrained network, the question of a batch, and its losses: what most tests of tasks begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.chance import generator_of
from models.config import ModelConfig
from models.question import Question
from models.torch.objectives import Terms, function_of
from models.torch.torch_network import TorchNetwork
from tasks.task import Task
from training.backend import RowLosses
from training.batches import Batch
from training.options import TrainingOptions
from training.torch.backend import TorchBackend


def new_network(
    task: Task, config: ModelConfig, settings: Mapping[str, Any] | None = None, *, std: float = 0.3, seed: int = 0
) -> TorchNetwork:
    """With weights so large that tokens differ; `.module` is the torch module, its parts `.module.encoder` and so on."""
    network = TorchNetwork(task.parts(config, settings or {}), config)
    network.config = config.with_changes({"initializer_std": std})
    network.initialize(seed)
    network.config = config
    network.module.eval()
    return network


def new_backend(
    task: Task,
    network: TorchNetwork,
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 1,
    weight_decay: float = 0.0,
) -> TorchBackend:
    """A backend that trains the network on the task's objective."""
    return TorchBackend(network, task.objective(settings or {}), TrainingOptions(seed=seed, weight_decay=weight_decay))


def ask(
    task: Task,
    config: ModelConfig,
    batch: Batch,
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 5,
    training: bool = False,
) -> Question:
    """The question of a batch, its masks drawn from a seed."""
    return task.ask(config, settings or {}, batch, generator_of(seed), training=training)


def terms_of(task: Task, network: TorchNetwork, question: Question, settings: Mapping[str, Any] | None = None) -> Terms:
    """The terms of the loss, with gradients."""
    return function_of(task.objective(settings or {}))(network.module, question)


def row_losses(
    task: Task, network: TorchNetwork, question: Question, settings: Mapping[str, Any] | None = None
) -> RowLosses:
    """The loss of each row."""
    return new_backend(task, network, settings).row_losses(question)
