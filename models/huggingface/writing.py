"""Our parameters -> a folder that `transformers` loads without extra code: `config.json` and `model.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.config import ModelConfig
from models.huggingface.family import Family, FolderError, Parts, Row, Weights, shapes
from models.huggingface.reading import FAMILIES, family
from models.huggingface.tensors import SINGLE


def kind_of(parts: Parts) -> str:
    """encoder, decoder or both."""
    bodies = [part for part in ("encoder", "decoder") if part in parts]
    return bodies[0] if len(bodies) == 1 else "both"


def family_of(config: ModelConfig, parts: Parts) -> str:
    """The first family that can express a network. FolderError names the fields that keep each from it."""
    obstacles = []
    for name in FAMILIES:
        made = family(name)
        if made.kind != kind_of(parts):
            continue
        odd = refused_fields(made, config, parts)
        if not odd:
            return name
        obstacles.append(f"{name}: {', '.join(f'{one}={getattr(config, one, None)!r}' for one in odd)}")
    raise FolderError(f"no transformers class matches this network; the obstacles: {'; '.join(obstacles)}")


def refused_fields(made: Family, config: ModelConfig, parts: Parts) -> list[str]:
    """Fields of a config that a family cannot have as they are."""
    return list(dict.fromkeys(name for name, possible in made.limits(config, parts) if not possible))


def write(
    folder: Path, name: str, config: ModelConfig, parts: Parts, weights: Mapping[str, NDArray[Any]],
    *, labels: Sequence[str] = (), special: Mapping[str, int] | None = None,
) -> None:  # fmt: skip
    """Write a network. `special` are ids for `config.json` (bos_token_id, ...). FolderError if it does not fit."""
    from safetensors.numpy import save_file

    made = family(name)
    if odd := refused_fields(made, config, parts):
        held = ", ".join(f"{one}={getattr(config, one, None)!r}" for one in odd)
        raise FolderError(f"{name} has no {held}")
    top = next((part for part in parts if part in made.classes), "")
    about = {
        "architectures": [made.classes[top]],
        "model_type": made.model_type,
        "dtype": "float32",
        **made.config(config, parts),
        **(special or {}),
    }
    if labels:
        about["id2label"] = {str(number): label for number, label in enumerate(labels)}
        about["label2id"] = {label: number for number, label in enumerate(labels)}
    tensors = theirs(made, config, parts, weights, len(labels), made.prefix if top else "")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / SINGLE, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(about, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def theirs(
    made: Family, config: ModelConfig, parts: Parts, weights: Mapping[str, NDArray[Any]], labels: int, prefix: str
) -> Weights:
    """The tensors of a family, by its names."""
    wanted = shapes(config, parts, labels)
    for name, shape in wanted.items():
        if name not in weights:
            raise FolderError(f"parameter {name} is missing")
        if weights[name].shape != shape:
            raise FolderError(f"parameter {name} is {list(weights[name].shape)}, where the config means {list(shape)}")
    ours = made.to_theirs({name: weights[name] for name in wanted}, config)
    tensors = made.constants(config, parts, prefix)
    for row in made.rows(config, parts, prefix):
        tensors |= _split(row, ours[row.ours])
    return tensors


def _split(row: Row, value: NDArray[np.float32]) -> Weights:
    if row.axes:
        return {row.theirs[0]: np.ascontiguousarray(value.reshape(row.axes))}
    ends = np.cumsum(row.sizes or (len(value) // len(row.theirs),) * len(row.theirs))
    pieces = np.split(value, ends[:-1])
    if row.transposed:
        pieces = [piece.T for piece in pieces]
    if row.skipped:
        pieces = [np.concatenate([np.zeros((row.skipped, *one.shape[1:]), one.dtype), one]) for one in pieces]
    return {name: np.array(piece, np.float32, order="C") for name, piece in zip(row.theirs, pieces, strict=True)}
