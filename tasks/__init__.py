"""What a model can be asked to do, one file a task. Steps name a task in their config and never ask which it is."""

from __future__ import annotations

import importlib
from typing import cast

from tasks.task import Task

TASKS = ("classification", "masked_lm")


def load(name: str) -> Task:
    """The task called `name`: `tasks/<name>.py`'s object `TASK`. Loaded by name, so that a step loads no other."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return cast(Task, importlib.import_module(f"tasks.{name}").TASK)
