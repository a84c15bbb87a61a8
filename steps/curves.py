"""Curves of a training from its own files: each update, and the readings that its history kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts import atomic
from training.update_log import Updates


@dataclass(frozen=True)
class SingleUpdates:
    """Loss and end (seconds since 1970) of each update; `start` is when the first one began."""

    update: list[int]
    loss: list[float]
    ended_at: list[float]
    start: float


def single_updates(folder: Path) -> SingleUpdates | None:
    """The updates of a training, by the folder of its artifact or of its work; None if it kept no record of them."""
    record = Updates.within(folder / "sidecars") or Updates.within(folder)
    if record is None:
        return None
    update, loss = record.curve("loss")
    if not update:
        return None
    ended_at, seconds = record.curve("ended_at")[1], record.curve("seconds")[1]
    return SingleUpdates(update, loss, ended_at, ended_at[0] - seconds[0])


def history(folder: Path) -> dict[str, Any]:
    """The history of a finished training; empty if there is none in the folder."""
    try:
        return dict(atomic.read_json(folder / "history.json"))
    except (OSError, ValueError):
        return {}
