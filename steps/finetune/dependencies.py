"""Dependencies of `finetune` outside its inputs."""

from __future__ import annotations

from pathlib import Path

from models.devices import DISTRIBUTIONS
from steps.finetune.config import Config
from steps.huggingface_folder import network_files


def files(config: Config) -> list[Path]:
    """Files of the imported network that `init` names."""
    return network_files(config.init)


def packages(config: Config) -> list[str]:
    """Packages of the framework that trains, beyond PyTorch, which every run needs."""
    return list(DISTRIBUTIONS[config.framework])


def check(config: Config) -> None:
    """UserError if the framework is not installed."""
    config.check_framework()
