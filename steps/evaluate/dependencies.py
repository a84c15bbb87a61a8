"""Dependencies of `evaluate` outside its inputs."""

from __future__ import annotations

from models.devices import DISTRIBUTIONS
from steps.evaluate.config import Config


def packages(config: Config) -> list[str]:
    """Packages of the framework that answers, beyond PyTorch, which every run needs."""
    return list(DISTRIBUTIONS[config.framework])


def check(config: Config) -> None:
    """UserError if the framework is not installed."""
    config.check_framework()
