"""A running training on disk: written whole or not at all, and never believed without its checksums.

    <folder>/update-00000200/
        manifest.json           sha256 of each of these
        weights.safetensors     parameters now
        best.safetensors        parameters at the best evaluation so far (absent while there was none)
        optimizer.safetensors   moments and counts of the optimizer, and averages of the weights
        state.json              update, epoch, place in it, seed, best loss, history so far

Random generators need no file: every draw is seeded by (seed, update), and both are in the state.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from artifacts import atomic
from models.network import Weights
from training.errors import TrainingError

if TYPE_CHECKING:
    from telemetry import Observe

_MANIFEST, _STATE = "manifest.json", "state.json"
_TEMPORARY, _DAMAGED = ".tmp", ".damaged"  # suffixes of folders that are no checkpoints


@dataclass
class State:
    """The place of a training, in numbers that JSON keeps exactly."""

    update: int = 0
    epoch: int = 0
    place: int = 0  # batches of this epoch that are done
    loss_sum: float = 0.0  # since the last line of the history
    targets: int = 0
    norm_sum: float = 0.0
    tokens: int = 0
    padded: int = 0
    best_loss: float | None = None  # the lowest so far
    best_score: float | None = None  # with a Scorer: that of the best weights, and their loss
    best_score_loss: float | None = None
    best_update: int = 0
    waited: int = 0  # evaluations since the best
    stopped_early: bool = False
    recent: list[float] = field(default_factory=list)  # with `spike`: losses of the last updates
    skipped: list[dict[str, Any]] = field(default_factory=list)  # with `spike`: roll-backs, of `training/spikes.py`
    history: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"training": [], "validation": []})


@dataclass
class Saved:
    """The content of a checkpoint."""

    weights: Weights
    best: Weights | None
    optimizer: Weights
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training, newest last. The last `keep` stay, and each holds the best weights so far.

    A signal can bring a checkpoint at any update. With `every`, the last `keep` of those that are a multiple of it stay too.
    """

    def __init__(self, folder: Path, keep: int = 2, every: int = 0) -> None:
        self.folder, self._keep, self._every = folder, keep, every

    def save(self, saved: Saved) -> Path:
        """Write a checkpoint; then the oldest may go.

        Where there is one of this update it stays: a training is deterministic, and `load` put damaged ones aside.
        """
        final = self.folder / f"update-{saved.state['update']:08d}"
        if final.exists():
            return final
        temporary = final.with_suffix(_TEMPORARY)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        tensors = {"weights": saved.weights, "best": saved.best, "optimizer": saved.optimizer}
        for name, content in tensors.items():
            if content:
                arrays = {key: np.array(value, order="C") for key, value in content.items()}
                save_file(arrays, temporary / f"{name}.safetensors")
        (temporary / _STATE).write_text(atomic.json_text(saved.state), encoding="utf-8")
        files = sorted(path for path in temporary.iterdir())
        for path in files:
            atomic.sync(path)
        atomic.write_json(temporary / _MANIFEST, {path.name: atomic.sha256(path) for path in files})
        temporary.rename(final)
        atomic.sync(self.folder)
        for old in self._surplus():
            # Renamed first: a kill while it is being removed must not leave a half that looks like a checkpoint.
            shutil.rmtree(old.rename(old.with_suffix(_TEMPORARY)))
        return final

    def load(self, observe: Observe) -> Saved | None:
        """The newest intact checkpoint, or None if there is no checkpoint.

        A damaged one is passed over with a warning that names the file, and put aside under another name. TrainingError
        when every one is damaged.
        """
        for left in self.folder.glob(f"*{_TEMPORARY}"):
            shutil.rmtree(left)
        damaged: dict[Path, str] = {}
        for folder in reversed(self._all()):
            try:
                saved = _read(folder)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                damaged[folder] = str(error)
                observe.log("checkpoint.damaged", f"{error}; falling back to the checkpoint before it", level="warning")
                continue
            for bad in damaged:
                shutil.rmtree(bad.with_suffix(_DAMAGED), ignore_errors=True)
                bad.rename(bad.with_suffix(_DAMAGED))
            update = saved.state["update"]
            observe.log("checkpoint.resumed", f"going on after update {update}", update=update)
            return saved
        if damaged:
            first = next(iter(damaged.values()))
            raise TrainingError(f"every checkpoint is damaged ({first}); delete {self.folder} to train from the start")
        return None

    def forget_after(self, update: int) -> None:
        """Remove the checkpoints after an update: a training that goes back does not come by them again."""
        for folder in self._all():
            if _update_of(folder) > update:
                shutil.rmtree(folder.rename(folder.with_suffix(_TEMPORARY)))

    def nearest(self, update: int) -> Saved | None:
        """The checkpoint before `update` that is nearest to it, else the nearest after it. Changes nothing on disk, so that
        it can be asked while the training runs."""
        folders = [(_update_of(folder), folder) for folder in self._all()]
        for _, folder in sorted(folders, key=lambda one: (one[0] >= update, abs(one[0] - update))):
            with suppress(OSError, ValueError, KeyError, SafetensorError):  # damaged, or removed by the training
                return _read(folder)
        return None

    def _surplus(self) -> list[Path]:
        found = self._all()
        regular = [folder for folder in found if self._every and _update_of(folder) % self._every == 0]
        kept = {*found[-self._keep :], *regular[-self._keep :]}
        return [folder for folder in found if folder not in kept]

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("update-*") if not path.suffix)


def _update_of(folder: Path) -> int:
    return int(folder.name.partition("-")[2])


def _read(folder: Path) -> Saved:
    try:
        manifest = atomic.read_json(folder / _MANIFEST)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / _MANIFEST}: unreadable ({error})") from None
    for name, expected in manifest.items():
        if not (folder / name).is_file() or atomic.sha256(folder / name) != expected:
            raise ValueError(f"{folder / name}: damaged (its sha256 is not the manifest's)")
    read = {Path(name).stem: load_file(folder / name) for name in manifest if name.endswith(".safetensors")}
    return Saved(read["weights"], read.get("best"), read.get("optimizer", {}), atomic.read_json(folder / _STATE))
