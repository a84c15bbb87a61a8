"""`hf:FOLDER`: a network or a tokenizer from elsewhere, in a folder as `transformers` saves it.

Only folders: what is downloaded, and when, is not left to a training.
"""

from __future__ import annotations

from pathlib import Path

from artifacts.errors import UserError

PREFIX = "hf:"


def folder_of(value: str, field: str) -> Path:
    """The folder that a parameter names. UserError if it names none."""
    folder = Path(value.removeprefix(PREFIX)).expanduser()
    if not value.startswith(PREFIX) or not folder.is_dir():
        raise UserError(
            f"{field}={value}: no folder; give {PREFIX}FOLDER, as save_pretrained of transformers writes it", 2
        )
    return folder


def network_files(init: str) -> list[Path]:
    """Files that a network from elsewhere depends on, its tokenizer's among them."""
    if not init:
        return []
    from artifacts import huggingface_tokenizer
    from models.huggingface import FolderError, folder_files

    folder = folder_of(init, "init")
    try:
        files = folder_files(folder)
    except FolderError as error:
        raise UserError(str(error), 2) from None
    return files + (huggingface_tokenizer.files(folder) if huggingface_tokenizer.has_tokenizer(folder) else [])


def tokenizer_files(source: str) -> list[Path]:
    """Files that a tokenizer from elsewhere depends on."""
    if not source:
        return []
    from artifacts import huggingface_tokenizer
    from artifacts.artifact import ArtifactError

    try:
        return huggingface_tokenizer.files(folder_of(source, "source"))
    except ArtifactError as error:
        raise UserError(str(error), 2) from None
