"""A Checkpoint: a trained network that can predict on its own.

model.json             the network's config
task.json              the task and what the data fixed about it (label names)
weights.safetensors    parameters, float32, by the names of models/parameters.py
history.json           curves: update, loss, validation loss, learning rate, gradient norm; no times
pretraining.json       history and task of the checkpoint it started from, if it did
tokenizer/             a copy of the tokenizer; not there where the data is no text
"""

from __future__ import annotations

from collections.abc import Mapping
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
    def pretraining(self) -> dict[str, Any] | None:
        """History and `task` of the pretraining it started from, or None if it was trained from scratch."""
        path = self.folder / "pretraining.json"
        return dict(atomic.read_json(path)) if path.exists() else None

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """All parameters by name."""
        from safetensors.numpy import load_file

        return dict(load_file(self.folder / "weights.safetensors"))


def write(
    output: Output, *, config: Mapping[str, Any], task: str, settings: Mapping[str, Any],
    weights: Mapping[str, NDArray[np.float32]], history: Mapping[str, Any], tokenizer: Tokenizer,
    pretraining: Mapping[str, Any] | None = None,
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
    if pretraining is not None:
        atomic.write_json(output.file("pretraining.json"), dict(pretraining))
    save_file({name: np.array(value, order="C") for name, value in weights.items()}, output.file("weights.safetensors"))
    tokenizer.copy_into(output)
    output.counts["parameters"] = int(sum(value.size for value in weights.values()))
