"""Tensors of a folder: `model.safetensors`, or shards with an index. Nothing else is read, and nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.huggingface.family import FolderError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. FolderError if the file is missing or holds anything else."""
    try:
        value = json.loads(inside(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FolderError(f"{path}: missing; {path.parent} is no folder that transformers saved") from None
    except RecursionError:
        raise FolderError(f"{path}: cannot be read: nested too deeply") from None
    except (OSError, ValueError) as error:
        raise FolderError(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise FolderError(f"{path}: is no JSON object")
    return value


def inside(path: Path) -> Path:
    """The path itself, if it is a plain file of its folder, links followed; FolderError otherwise.

    A snapshot in the hub's cache consists of links to the adjacent folder `blobs`. FileNotFoundError if the file is missing.
    """
    folder = path.parent.resolve()
    roots = [folder, *([folder.parent.parent / "blobs"] if folder.parent.name == "snapshots" else [])]
    try:
        place = path.resolve(strict=True)
    except RuntimeError:  # of Python 3.11, for links that lead to each other
        raise FolderError(f"{path}: is a link to itself") from None
    if not any(place.is_relative_to(root) for root in roots):
        raise FolderError(f"{path}: is a link that leads out of its folder; copy the file there")
    if not place.is_file():
        raise FolderError(f"{path}: is no plain file")
    return path


def files(folder: Path) -> list[Path]:
    """The files that hold the tensors."""
    if (folder / SINGLE).is_file():
        return [inside(folder / SINGLE)]
    if (folder / INDEX).is_file():
        places = read_json(folder / INDEX).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise FolderError(f"{folder / INDEX}: has no weight_map")
        for name in places.values():
            if (
                not isinstance(name, str)
                or Path(name).name != name
                or "\0" in name
                or len(name.encode(errors="replace")) > 255
            ):
                raise FolderError(
                    f"{folder / INDEX}: weight_map names {str(name)[:200]!r}, which is no file of this folder"
                )
        found = [folder / name for name in sorted(set(places.values()))]
        for path in found:
            if not path.is_file():
                raise FolderError(f"{path}: missing, though {INDEX} names it")
            inside(path)
        return found
    for name in _PICKLED:
        if (folder / name).exists():
            raise FolderError(
                f"{folder / name}: not read: loading a pickled file runs any code in it. Convert it once, where you "
                f"trust it: AutoModel.from_pretrained({str(folder)!r}).save_pretrained(FOLDER) writes {SINGLE}"
            )
    raise FolderError(f"{folder}: has no {SINGLE}")


class Tensors:
    """All tensors of a folder, float32, each taken once by name."""

    def __init__(self, folder: Path) -> None:
        self.source = str(folder)
        self._held: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
        self._taken: set[str] = set()
        for path in files(folder):
            for name, about in _deserialize(path):
                self._held[_today(name)] = about["dtype"], tuple(about["shape"]), about["data"]

    @property
    def names(self) -> set[str]:
        """Names of all of them."""
        return set(self._held)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of all of them."""
        return {name: shape for name, (_, shape, _) in self._held.items()}

    @property
    def unread(self) -> list[str]:
        """Names of tensors that have not been read."""
        return sorted(self._held.keys() - self._taken)

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A tensor of this shape. FolderError if it is missing, of another shape or type, or not finite."""
        if name not in self._held:
            raise FolderError(f"{self.source}: tensor {name} is missing")
        kind, found, data = self._held[name]
        if found != shape:
            raise FolderError(f"{self.source}: tensor {name} is {list(found)}, where config.json means {list(shape)}")
        self._taken.add(name)
        if kind == "BF16":  # the upper half of a float32
            value = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        elif kind in _TYPES:
            value = np.frombuffer(data, _TYPES[kind]).astype("<f4")
        else:
            raise FolderError(f"{self.source}: tensor {name} is of type {kind}; quantised weights are not supported")
        if not np.isfinite(value).all():
            raise FolderError(f"{self.source}: tensor {name} holds values that are not finite")
        return value.reshape(shape)


def _today(name: str) -> str:
    """A norm's tensors under the names of today: `bert-base-uncased` itself still has TensorFlow's."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _deserialize(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import safetensors

    try:
        yield from safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except (OSError, safetensors.SafetensorError) as error:
        raise FolderError(f"{path}: cannot be read: {error}") from None
