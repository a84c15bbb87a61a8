"""Baselines that know an image as a list of numbers: no neighbourhoods, no layers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts.images import pixels
from training.batches import evenly

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_SIDE = 32  # larger images are scaled down to this: a row is then at most 3,072 numbers
_ROWS = 10_000  # of training, evenly taken
_NEIGHBOURS = 3


def baselines(
    train: pd.DataFrame, questions: pd.DataFrame, image: Mapping[str, int], seed: int
) -> dict[str, pd.DataFrame]:
    """Predictions of a logistic regression and of nearest neighbours, by readable name."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    some = train.iloc[evenly(len(train), _ROWS)]
    seen, asked = _matrix(some, image), _matrix(questions, image)
    count = min(_NEIGHBOURS, len(some))
    methods: dict[str, Any] = {
        "logistic regression on pixels": LogisticRegression(C=1.0, max_iter=300, tol=1e-3, random_state=seed),
        f"{count} nearest neighbours on pixels": KNeighborsClassifier(count),
    }
    answers = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after 300 rounds it is good enough to be beaten
        for name, method in methods.items():
            answers[name] = _answers(method.fit(seen, some["expected"]), asked)
    return answers


def _matrix(rows: pd.DataFrame, image: Mapping[str, int]) -> NDArray[np.float32]:
    height, width = min(_SIDE, image["height"]), min(_SIDE, image["width"])
    values = [pixels(content, height, width, image["channels"]).ravel() for content in rows["image"]]
    return np.stack(values).astype(np.float32) / np.float32(255)


def _answers(model: Any, images: NDArray[np.float32]) -> pd.DataFrame:
    import pandas as pd

    probabilities = model.predict_proba(images)
    prediction = model.classes_[probabilities.argmax(1)]
    return pd.DataFrame({"prediction": prediction, "probability": probabilities.max(1).round(6)})
