"""A checkpoint's folder, read as the plain files that it is: model.json, task.json, weights.safetensors, tokenizer/."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.config import ModelConfig
from models.huggingface import FolderError
from models.huggingface.family import Parts, Weights, shapes

# Parts, each with a parameter that only it has, and where it may stand.
_DEFINING_PARAMETERS = {
    "masked_lm": "head.norm.weight",
    "classifier": "classifier.dense.weight",
    "image_classifier": "classifier.output.weight",
}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, read for export."""

    folder: Path
    config: ModelConfig
    task: str
    parts: Parts
    weights: Weights
    labels: list[str]

    @property
    def tokenizer(self) -> Path | None:
        """The folder of its tokenizer, or None if it reads no text."""
        folder = self.folder / "tokenizer"
        return folder if folder.is_dir() else None


def read(folder: Path, *, body: bool = False) -> Checkpoint:
    """A checkpoint, or with `body` no more than its encoder and decoder. FolderError names the problem."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        about = json.loads((folder / "task.json").read_text("utf-8"))
        config = ModelConfig(**json.loads((folder / "model.json").read_text("utf-8")))
        weights = load_file(folder / "weights.safetensors")
    except FileNotFoundError as error:
        raise FolderError(f"{error.filename or folder}: missing; {folder} is no checkpoint") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "its values"
        raise FolderError(f"{folder / 'model.json'}: {where}: {problem['msg']}") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise FolderError(f"{folder}: cannot be read: {error}") from None
    if about["settings"].get("causal_share") and not body:
        raise FolderError(
            f"{folder}: predicts a masked token at the position before it, as no class of transformers does; --body leaves "
            "heads out"
        )
    labels = [str(label) for label in about["settings"].get("labels", [])]
    parts = _parts(set(weights), body)
    held = {name: value for name, value in weights.items() if not body or _in_body(name)}
    _check(folder, config, parts, held, labels)
    return Checkpoint(folder, config, str(about["task"]), parts, held, labels)


def _in_body(name: str) -> bool:
    return name.startswith(("encoder.", "decoder."))


def _parts(names: set[str], body: bool) -> Parts:
    parts = [part for part in ("encoder", "decoder") if any(name.startswith(f"{part}.") for name in names)]
    if body:
        return tuple(parts)
    if parts[-1:] == ["decoder"]:
        return (*parts, "lm")
    heads = [part for part, name in _DEFINING_PARAMETERS.items() if name in names]
    return (*parts, *heads[:1])


def _check(folder: Path, config: ModelConfig, parts: Parts, weights: dict[str, Any], labels: list[str]) -> None:
    wanted: dict[str, Any] = dict(shapes(config, parts, len(labels))) if config.network == "transformer" else {}
    if not parts:
        raise FolderError(f"{folder}: its weights have neither encoder nor decoder")
    if config.network == "transformer" and (odd := sorted(wanted.keys() ^ weights.keys())):
        raise FolderError(
            f"{folder}: parameter {odd[0]} is of no head that is exported (masked LM, next token, classifier); --body leaves "
            "heads out"
        )
