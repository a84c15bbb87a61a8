"""Names of registered models and aliases, checked by a Config, so that a name MLflow refuses fails before anything is registered.

The rules are those of `mlflow.utils.validation` (a test compares them), and ours: lower-case aliases, and no model that is
called like the history of another.
"""

from __future__ import annotations

import posixpath
import re
from typing import Annotated

from pydantic import AfterValidator

_LONGEST_ALIAS, _LONGEST_NAME = (
    255,
    240,
)  # MLflow's columns hold 255 and 256; a history's name is longer than its model's
_HISTORY = ".history"


def check_alias(value: str) -> str:
    """The alias itself; ValueError names its fault."""
    if not value:
        raise ValueError("an alias must not be empty")
    if value.lower() == "latest":
        raise ValueError("reserved by MLflow; choose another alias, for instance challenger")
    if re.fullmatch(r"[vV]?\d+", value):
        raise ValueError(
            "reads as a version's number, which MLflow reserves; choose another alias, for instance challenger"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", value):
        raise ValueError("an alias is made of a-z, 0-9, _ and -, and begins with a letter")
    if len(value) > _LONGEST_ALIAS:
        raise ValueError(f"an alias has at most {_LONGEST_ALIAS} characters; this one has {len(value)}")
    return value


def check_version(value: str) -> str:
    """A version's number, or an alias."""
    return value if re.fullmatch(r"[1-9][0-9]*", value) else check_alias(value)


def check_model(value: str) -> str:
    """The name of a registered model itself; ValueError names its fault."""
    if not value.strip():
        raise ValueError("the name of a registered model must not be empty")
    if not re.fullmatch(r"[\w .-]+", value):
        raise ValueError("the name of a registered model is made of letters, digits, space, _, . and -")
    if posixpath.normpath(value) != value or value.startswith("."):
        raise ValueError("would name a folder; the name of a registered model must not begin with a dot")
    if value.endswith(_HISTORY):
        raise ValueError(f"names that end in {_HISTORY} hold decisions about aliases; choose another name")
    if value != value.strip():
        raise ValueError("the name of a registered model must not begin or end with a space")
    if len(value) > _LONGEST_NAME:
        raise ValueError(
            f"the name of a registered model has at most {_LONGEST_NAME} characters; this one has {len(value)}"
        )
    return value


Alias = Annotated[str, AfterValidator(check_alias)]
Version = Annotated[str, AfterValidator(check_version)]
Model = Annotated[str, AfterValidator(check_model)]
ModelOrNone = Annotated[str, AfterValidator(lambda value: value and check_model(value))]
