"""`python -m deploy.serving`: serve a registered model by its alias, and follow the alias as it moves."""

import re

_NAME = re.compile(r"(?=.*[\w-])[\w .-]{1,250}")


class ServingError(Exception):
    """An error for the operator: one line with the problem and the remedy."""


class VersionError(ServingError):
    """A model version that must not answer; the message gives the reason."""


def check_name(model: str) -> None:
    """ServingError unless this is the name of a registered model, since it becomes a folder's name."""
    if not _NAME.fullmatch(model):
        raise ServingError(f"{model!r} is no name of a registered model: letters, digits, space, dot, _ and -")
