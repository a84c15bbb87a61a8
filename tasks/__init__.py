"""The tasks: a folder each, with `task.py` and the files that this task alone needs. Steps name a task in their config.

The files of this folder are the frame that all tasks share, and three folders are programs that use trained models of any
task: `predict` asks one, `why` explains a spike of a training, `maps` draws attention.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from tasks.task import Task


def available() -> list[str]:
    """Names of the tasks: the folders that hold a `task.py`."""
    return sorted(file.parent.name for file in Path(__file__).parent.glob("*/task.py"))


def load(name: str) -> Task:
    """The object `TASK` of `tasks/<name>/task.py`. Loaded by name, so that a step loads no other task."""
    if name not in available():
        raise ValueError(f"unknown task {name!r}; known: {', '.join(available())}")
    return cast(Task, importlib.import_module(f"tasks.{name}.task").TASK)
