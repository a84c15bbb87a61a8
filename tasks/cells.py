"""The cells of a frame as a model takes them, and those that it refuses."""

from __future__ import annotations

import numbers
from decimal import Decimal
from typing import Any

import numpy as np

from training.errors import TrainingError

_BYTES = (bytes, bytearray, memoryview)


def content_of(value: Any, column: str, number: int, label: object) -> Any:
    """A text or an image's bytes. A missing value becomes an empty text, a number its written form.

    TrainingError names the row for anything else: the written form of a list or a dict is hardly the intended text.
    `number` counts rows from 1, `label` is the row's in the frame's index.
    """
    import pandas as pd

    if column == "image":
        if isinstance(value, _BYTES):
            return bytes(value)
    elif isinstance(value, str):
        return value
    elif value is None or value is pd.NaT or value is pd.NA:
        return ""
    elif isinstance(value, np.bool_ | numbers.Real | Decimal):
        return "" if value != value else str(value)  # NaN
    wanted = "an image's bytes are" if column == "image" else "a text is"
    raise TrainingError(
        f"{column}: row {number} (index {label!r}) holds a {type(value).__name__}, where {wanted} needed; give each "
        f"{column} a row of its own: pandas.DataFrame({{{column!r}: [...]}})"
    )
