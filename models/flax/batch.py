"""A question as the arrays that go into a compiled function, in one of the few shapes of `models/shapes.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.config import ModelConfig
from models.question import Question
from models.shapes import fit


class Batch(NamedTuple):
    """A fitted question. Integers are of 32 bits, which JAX would make of those of 64 anyway."""

    inputs: dict[str, Any]
    places: Any  # [M']
    labels: Any  # [M']
    rows: Any  # [M']
    weights: Any  # [M'], 0 for padding
    more: dict[str, Any]


def batch_of(question: Question, config: ModelConfig) -> Batch:
    """The batch of a question that a network of this config answers."""
    fitted = fit(question, 0 if config.image_height else config.max_length)
    return Batch(
        _narrow(fitted.inputs),
        fitted.places.astype(np.int32),
        fitted.labels.astype(np.int32),
        fitted.rows.astype(np.int32),
        fitted.weights,
        _narrow(fitted.more),
    )


def _narrow(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: value.astype(np.int32) if value.dtype == np.int64 else value for name, value in arrays.items()}
