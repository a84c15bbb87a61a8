"""The contract of a step: a `Config` with its artifact inputs.

    # Parameters of `train_tokenizer`                   # steps/train_tokenizer/config.py
    OUTPUT = "tokenizer"                                # kind of the artifact it makes

    class Config(StepConfig):
        corpus: str = artifact("corpus", "Corpus to train on")
        vocab_size: int = Field(8192, ge=300, le=200_000, description="Number of pieces")

`steps/step.py` has the other files of a step. This module is loaded by `--help` and by `plan`: it imports pydantic and
nothing heavier.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class StepConfig(BaseModel):
    """Base of every step's Config: unknown keys are an error, and a config never changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    examples: ClassVar[tuple[str, ...]] = ()  # of its command line, after the one with its required inputs
    neutral: ClassVar[Mapping[str, Any]] = {}  # values that change no result: a fingerprint leaves their fields out

    @classmethod
    def artifact_inputs(cls) -> dict[str, str]:
        """Names of the fields that take an artifact, each with the kind it takes."""
        return {name: str(extra["artifact"]) for name, extra in cls._extras().items() if "artifact" in extra}

    @classmethod
    def inputs_with_many(cls) -> set[str]:
        """Artifact inputs that take several artifacts, which are then called `name.0`, `name.1` and so on."""
        return {name for name, extra in cls._extras().items() if extra.get("many")}

    @classmethod
    def with_inputs(cls, inputs: Mapping[str, str], **values: Any) -> Self:
        """A Config whose artifact fields have these folders; those of an input with many are one entry each."""
        many = {
            name: [folder for key, folder in inputs.items() if key.startswith(f"{name}.")]
            for name in cls.inputs_with_many()
        }
        single = {name: folder for name, folder in inputs.items() if "." not in name}
        return cls(**{**values, **single, **{name: folders for name, folders in many.items() if folders}})

    def given_inputs(self) -> dict[str, tuple[str, str]]:
        """Each artifact that was given: input's name (`rivals.0` where it takes many) -> its folder, and its kind."""
        found: dict[str, tuple[str, str]] = {}
        for name, kind in self.artifact_inputs().items():
            value = getattr(self, name)
            folders = {name: value} if isinstance(value, str) else {f"{name}.{i}": each for i, each in enumerate(value)}
            found |= {each: (folder, kind) for each, folder in folders.items() if folder}
        return found

    def result_parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on, with its value, but for the artifact inputs."""
        free = self.execution_fields() | self.artifact_inputs().keys()
        values = self.model_dump(mode="json", exclude=set(free))
        return {name: value for name, value in values.items() if (name, value) not in self.neutral.items()}

    @classmethod
    def required_inputs(cls) -> set[str]:
        """Artifact inputs that a run cannot do without."""
        return {name for name in cls.artifact_inputs() if cls.model_fields[name].is_required()}

    @classmethod
    def chosen_modules(cls) -> dict[str, str]:
        """Fields whose value names a module of ours (`task` -> `tasks.{}.task`), which a fingerprint must follow."""
        return {name: str(extra["module"]) for name, extra in cls._extras().items() if "module" in extra}

    @classmethod
    def execution_fields(cls) -> set[str]:
        """Fields that say how to compute a result but do not change it: no part of a fingerprint."""
        return {name for name, extra in cls._extras().items() if extra.get("execution")}

    @classmethod
    def _extras(cls) -> dict[str, dict[str, Any]]:
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return {name: extra for name, extra in extras.items() if isinstance(extra, dict)}


class ThreadedConfig(StepConfig):
    """A step that works on several cores; the result is the same on any number."""

    threads: int = Field(
        0, ge=0, le=1024, description="Cores to work on; 0: all of this machine", json_schema_extra={"execution": True}
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve_threads(cls, values: Any) -> Any:
        if isinstance(values, dict) and re.fullmatch(r"\s*\+?0+\s*", str(values.get("threads", 0))):
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            return {**values, "threads": cores}
        return values


def _mapping(value: Any) -> Any:
    """A mapping as it is, or as a command line has it: `{a: 1, b: two}`, or JSON as the driver passes it."""
    if not isinstance(value, str):
        return value
    from artifacts import plain_yaml

    if not value.strip():
        return {}
    try:
        return json.loads(value, object_pairs_hook=_unique, parse_constant=_finite)
    except (json.JSONDecodeError, RecursionError):
        pass
    try:
        return plain_yaml.load(value)
    except plain_yaml.YamlError as error:
        shown = value if len(value) < 200 else f"{value[:200]}…"
        raise ValueError(f"write a mapping, for instance {{name: value}}; got {shown!r} ({error})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name in (names := [name for name, _ in pairs]):
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands twice in one mapping")
    return dict(pairs)


def _finite(text: str) -> float:
    raise ValueError(f"{text} is no number that a config takes")


Options = Annotated[dict[str, Any], BeforeValidator(_mapping)]


def options(description: str = "The task's own options, as {name: value}; see its file") -> Any:
    """A Config field that holds a task's own options: the task checks them."""
    return Field({}, description=description)


def _folders(value: Any) -> Any:
    """Folders as they are, or as a command line has them: `a,b`, or a JSON list where a name has a comma."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [folder for part in value.split(",") if (folder := part.strip())]
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(f"write folders with commas between them, or a JSON list; got {value!r}") from None


Folders = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_folders)]


def artifact(
    kind: Literal["corpus", "tokenizer", "checkpoint", "report", "model_version"],
    description: str,
    *,
    optional: bool = False,
    many: bool = False,
) -> Any:
    """A Config field that takes an artifact: its folder's path. An optional one left out is the empty string.

    With `many` it takes several, none among them, and is of the type Folders.
    """
    extra: dict[str, Any] = {"artifact": kind}
    if many:
        return Field((), description=description, json_schema_extra=extra | {"many": True})
    if optional:
        return Field("", description=description, json_schema_extra=extra)
    return Field(..., min_length=1, description=description, json_schema_extra=extra)


def task(default: str, description: str = "What the model learns: a folder of tasks/") -> Any:
    """A Config field that names a task, and so a module of `tasks/`."""
    return Field(
        default, pattern=r"^[a-z][a-z0-9_]*$", description=description, json_schema_extra={"module": "tasks.{}.task"}
    )
