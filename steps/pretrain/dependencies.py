"""Dependencies of `pretrain` outside its inputs."""

from __future__ import annotations

from pathlib import Path

from steps.huggingface_folder import network_files
from steps.pretrain.config import Config


def files(config: Config) -> list[Path]:
    """Files of the imported network that `init` names."""
    return network_files(config.init)
