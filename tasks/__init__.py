"""What a model can be asked to do, one file a task. Steps name a task in their config and never ask which it is."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from tasks.task import Task


def available() -> list[str]:
    """Names of the tasks: the files of this folder that make a `TASK`."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem for file in files if "\nTASK = " in file.read_text(encoding="utf-8"))


def load(name: str) -> Task:
    """The task called `name`: `tasks/<name>.py`'s object `TASK`. Loaded by name, so that a step loads no other."""
    if name not in available():
        raise ValueError(f"unknown task {name!r}; known: {', '.join(available())}")
    return cast(Task, importlib.import_module(f"tasks.{name}").TASK)
