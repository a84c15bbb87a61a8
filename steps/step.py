"""A step by its name: its parts are loaded when they are first used, so that `plan` and `--help` load nothing heavy.

steps/<name>/__init__.py      one docstring: purpose, inputs -> output
             __main__.py      the program `python -m steps.<name>`
             config.py        `Config`, and `OUTPUT`, the kind of the artifact it makes (None: none)
             run.py           `run(config, inputs, output, observe)`
             dependencies.py  any of `files`, `packages`, `modules` and `check`, for the planner
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from steps.contract import StepConfig

if TYPE_CHECKING:
    from artifacts import Artifact
    from telemetry import Observe

STEPS = ("prepare_data", "train_tokenizer", "pretrain", "finetune", "evaluate", "register", "promote")
Run = Callable[[Any, Mapping[str, "Artifact"], Any, "Observe"], None]


class Step:
    """One step, with the planner's interface to it."""

    def __init__(self, name: str, module: ModuleType | None = None) -> None:
        """A step of ours; with a `module`, one whose parts are all in that module."""
        self.name, self._module = name, module

    @property
    def purpose(self) -> str:
        """Docstring of the step."""
        return (self._module or importlib.import_module(f"steps.{self.name}")).__doc__ or self.name

    @cached_property
    def Config(self) -> type[StepConfig]:  # noqa: N802 - a class
        """Its parameters."""
        config: type[StepConfig] = self._part("config").Config
        return config

    @property
    def output(self) -> str | None:
        """Kind of the artifact that it makes; None if it makes none."""
        kind: str | None = getattr(self._part("config"), "OUTPUT", None)
        return kind

    @cached_property
    def run(self) -> Run:
        """Its work. Loading it loads all that the work needs."""
        work: Run = self._part("run").run
        return work

    def files(self, config: StepConfig) -> list[Path]:
        """Files outside the store that the result depends on: a fingerprint counts their content."""
        return list(self._answer("files", config) or [])

    def packages(self, config: StepConfig) -> list[str]:
        """Installed packages that are data to this step, beyond those that every run needs."""
        return list(self._answer("packages", config) or [])

    def modules(self, config: StepConfig) -> list[str]:
        """Modules where the code that runs begins: the step's own, and those that the config chooses by name."""
        chosen = {pattern: str(getattr(config, name)) for name, pattern in config.chosen_modules().items()}
        named = [pattern.format(name) for pattern, name in chosen.items() if name.isidentifier()]
        return [f"steps.{self.name}.run", *named, *(self._answer("modules", config) or [])]

    def check(self, config: StepConfig) -> None:
        """UserError if the user's files do not fit the config, as far as a quick look shows it."""
        self._answer("check", config)

    def _answer(self, question: str, config: StepConfig) -> Any:
        if not self._module and not importlib.util.find_spec(f"steps.{self.name}.dependencies"):
            return None
        answer = getattr(self._part("dependencies"), question, None)
        return answer(config) if answer else None

    def _part(self, name: str) -> ModuleType:
        return self._module or importlib.import_module(f"steps.{self.name}.{name}")


@cache
def load_step(name: str) -> Step:
    """The step of this name."""
    return Step(name)
