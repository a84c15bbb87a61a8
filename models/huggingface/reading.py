"""A folder as `transformers` saves it -> our parameters and the fields of a ModelConfig."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models.config import ModelConfig
from models.huggingface import bert, distilbert, esm, gpt2, llama, marian, roberta, t5, vit
from models.huggingface.family import Family, FolderError, Keys, Parts, Row, Weights, shapes
from models.huggingface.tensors import Tensors, files, read_json

# Imported by name and not found by it, so that a fingerprint counts their code. The first that fits is what is written.
_FAMILIES: dict[str, Family] = {
    made.model_type: made
    for made in (
        bert.FAMILY, roberta.FAMILY, distilbert.FAMILY, esm.FAMILY, gpt2.FAMILY, llama.FAMILY, t5.FAMILY, marian.FAMILY,
        vit.FAMILY,
    )
}  # fmt: skip
FAMILIES = tuple(_FAMILIES)


@dataclass(frozen=True)
class Pretrained:
    """A network that was trained elsewhere."""

    family: str
    config: ModelConfig
    parts: Parts
    weights: Weights  # by the names of our tasks' networks: `encoder.`, `decoder.`, `head.`, `classifier.`
    labels: list[str] = field(default_factory=list)  # of the classifier


def family(name: str) -> Family:
    """The family of a `model_type`. FolderError names those there are."""
    if name not in FAMILIES:
        raise FolderError(f"model_type={name!r} is not supported; known: {', '.join(FAMILIES)}")
    return _FAMILIES[name]


def folder_files(folder: Path) -> list[Path]:
    """The files of a folder that its network is made of."""
    return [folder / "config.json", *files(folder)]


def read_config(folder: Path) -> tuple[Family, dict[str, Any], Keys]:
    """Family, fields of a ModelConfig and all keys, from `config.json` alone."""
    keys = Keys(read_json(folder / "config.json"), str(folder / "config.json"))
    try:
        found = family(str(keys.get("model_type", "")))
    except FolderError as error:
        raise FolderError(f"{keys.source}: {error}") from None
    keys.must_be("quantization_config", why="weights must be plain numbers")
    return found, found.architecture(keys), keys


def read(folder: Path) -> Pretrained:
    """The network of a folder. FolderError names the wrong key or tensor, and the right value."""
    found, fields, keys = read_config(folder)
    tensors = Tensors(folder)
    prefix = found.prefix if any(name.startswith(found.prefix) for name in tensors.names) else ""
    parts = found.parts(tensors.names, prefix)
    try:
        config = ModelConfig(**found.refine(fields, tensors.shapes))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "its values"
        raise FolderError(f"{keys.source}: {where}: {problem['msg']}") from None
    if limits := [name for name, possible in found.limits(config, parts) if not possible]:
        wrong = f"{limits[0]}={getattr(config, limits[0], None)!r}"
        raise FolderError(f"{keys.source}: {wrong} does not go with {', '.join(parts)}")
    labels = _labels(keys) if _classifies(parts) else []
    wanted, weights = shapes(config, parts, len(labels)), {}
    for row in found.rows(config, parts, prefix):
        weights[row.ours] = _read_row(row, wanted[row.ours], tensors)
    if odd := wanted.keys() ^ weights.keys():
        raise AssertionError(f"{found.model_type}: the table is not that of the parameters: {sorted(odd)[:3]}")
    _check_rest(found, tensors, weights, prefix)
    return Pretrained(found.model_type, config, parts, found.to_ours(weights, config), labels)


def _read_row(row: Row, shape: tuple[int, ...], tensors: Tensors) -> NDArray[np.float32]:
    taken = [tensors.take(name, one) for name, one in zip(row.theirs, row.shapes(shape), strict=True)]
    if row.axes:
        return taken[0].reshape(shape)
    turned = [one.T if row.transposed else one[row.skipped :] for one in taken]
    return np.ascontiguousarray(np.concatenate(turned))


def _check_rest(found: Family, tensors: Tensors, weights: Weights, prefix: str) -> None:
    """Each tensor left over is another name of one that was read, or known to hold nothing, or an error."""
    tied = {name.format(prefix=prefix): ours for name, ours in found.tied.items()}
    patterns = [re.compile(pattern) for pattern in found.left_out]
    for name in tensors.unread:
        if name in tied:
            ours = weights[tied[name]]
            if not np.array_equal(tensors.take(name, ours.shape), ours):
                raise FolderError(
                    f"{tensors.source}: tensor {name} is tied by config.json, but differs from its counterpart; if both were "
                    "trained apart, tie_word_embeddings must be false"
                )
        elif not any(pattern.search(name) for pattern in patterns):
            raise FolderError(
                f"{tensors.source}: tensor {name} is not known to {found.model_type}; save the model without it, for "
                "instance as AutoModel"
            )


def _classifies(parts: Parts) -> bool:
    return "classifier" in parts or "image_classifier" in parts


def _labels(keys: Keys) -> list[str]:
    # Two is what transformers takes where none are named
    names = keys.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    try:
        return [str(names[str(number)]) for number in range(len(names))]
    except (KeyError, TypeError):
        raise FolderError(f"{keys.source}: id2label must name each number from 0 on") from None
