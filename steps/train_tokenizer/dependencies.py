"""Dependencies of `train_tokenizer` outside its inputs."""

from __future__ import annotations

from pathlib import Path

from steps.huggingface_folder import tokenizer_files
from steps.train_tokenizer.config import Config


def files(config: Config) -> list[Path]:
    """Files of a tokenizer that is taken over."""
    return tokenizer_files(config.source)
