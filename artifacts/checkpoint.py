"""A Checkpoint: a trained network that can predict on its own.

model.json             the network's config
task.json              the task and what the data fixed about it (label names)
weights.safetensors    parameters, float32, by the names of models/parameters.py
history.json           curves: update, loss, validation loss, learning rate, gradient norm; no times
pretraining.json       history and task of each training before, if it started from a checkpoint
tokenizer/             a copy of the tokenizer; not there where the data is no text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.artifact import Artifact, ArtifactError, Output
from artifacts.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Checkpoint:
    """Reads a checkpoint, from an artifact or from a plain copy of its folder (a registered model's)."""

    def __init__(self, source: Artifact | Path) -> None:
        self.folder = source if isinstance(source, Path) else source.path
        try:
            self.config: dict[str, Any] = atomic.read_json(self.folder / "model.json")
            about = atomic.read_json(self.folder / "task.json")
        except FileNotFoundError as error:
            raise ArtifactError(f"{error.filename}: missing; {self.folder} is no checkpoint") from None
        self.task = str(about["task"])
        self.settings: dict[str, Any] = about["settings"]

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer it was trained with."""
        folder = self.folder / "tokenizer"
        return Tokenizer(folder) if folder.is_dir() else Tokenizer.none()

    @property
    def history(self) -> dict[str, Any]:
        """The training history."""
        return dict(atomic.read_json(self.folder / "history.json"))

    @property
    def framework(self) -> str:
        """The framework of the last training of its weights."""
        return str(self.history.get("framework", "torch"))

    @property
    def pretraining(self) -> list[dict[str, Any]]:
        """History and `task` of each training that its weights began with, the first one first; none if it is from scratch."""
        path = self.folder / "pretraining.json"
        found = atomic.read_json(path) if path.exists() else []
        return found if isinstance(found, list) else [found]  # earlier checkpoints tell of the last one alone

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """All parameters by name."""
        from safetensors.numpy import load_file

        return dict(load_file(self.folder / "weights.safetensors"))


def write(
    output: Output, *, config: Mapping[str, Any], task: str, settings: Mapping[str, Any],
    weights: Mapping[str, NDArray[np.float32]], history: Mapping[str, Any], tokenizer: Tokenizer,
    pretraining: Sequence[Mapping[str, Any]] = (),
) -> None:  # fmt: skip
    """Write a checkpoint's content. Nothing that is not finite is ever saved."""
    import numpy as np
    from safetensors.numpy import save_file

    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if broken:
        raise ArtifactError(f"parameters are not finite ({', '.join(broken[:3])}): not saved; lower the learning rate")
    atomic.write_json(output.file("model.json"), dict(config))
    atomic.write_json(output.file("task.json"), {"task": task, "settings": dict(settings)})
    atomic.write_json(output.file("history.json"), dict(history))
    if pretraining:
        atomic.write_json(output.file("pretraining.json"), list(pretraining))
    save_file({name: np.array(value, order="C") for name, value in weights.items()}, output.file("weights.safetensors"))
    tokenizer.copy_into(output)
    output.counts["parameters"] = int(sum(value.size for value in weights.values()))
