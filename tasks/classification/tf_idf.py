"""TF-IDF with logistic regression: the baseline that a classifier of texts has to beat.

Words and pairs of neighbours, in lower case, weighted 1 + log(tf) times idf (Manning, Raghavan and
Schütze 2008, "Introduction to Information Retrieval", section 6.4), into a multinomial logistic regression (L-BFGS). Its
strength C is chosen by macro F1 on the validation rows. A function of the rows alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from training.batches import evenly

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    from telemetry import Observe

NAME = "TF-IDF + logistic regression"
_WORD = r"(?u)\b\w+\b"  # of one letter too, which scikit-learn's own leaves out
_FEATURES = 50_000  # the commonest; memory and time do not grow beyond them
_MIN_ROWS = 2  # that hold a feature
_STRENGTHS = (3.0, 10.0, 30.0, 100.0)
_DEFAULT = 10.0  # without validation rows to choose by
_ITERATIONS = 100
_SEARCHED = (
    40_000_000  # of an L-BFGS iteration: classes x weights of all rows; more rows than that the search leaves out
)


def answers(
    train: pd.DataFrame, validation: pd.DataFrame | None, questions: pd.DataFrame, observe: Observe
) -> pd.DataFrame:
    """Predictions for `questions`; all frames have the columns `text` and `expected`, `train` at least two classes."""
    import pandas as pd

    words = _vectorizer(train["text"])
    seen, labels = words.transform(train["text"]), train["expected"].to_numpy()
    strength = _DEFAULT
    if validation is not None:
        weights = len(np.unique(labels)) * seen.nnz
        rows = evenly(len(labels), max(1, int(len(labels) * min(1.0, _SEARCHED / max(1, weights)))))
        known = words.transform(validation["text"]), validation["expected"].to_numpy()
        strength = choose_strength((seen[rows], labels[rows]), known, observe)
    model = _fit(seen, labels, strength)
    probabilities = model.predict_proba(words.transform(questions["text"]))
    prediction = model.classes_[probabilities.argmax(1)]
    return pd.DataFrame({"prediction": prediction, "probability": probabilities.max(1).round(6)})


def choose_strength(
    train: tuple[Any, Any], validation: tuple[Any, Any], observe: Observe, strengths: Sequence[float] = _STRENGTHS
) -> float:
    """The C with the highest macro F1 on `validation`, the smallest of equals; the search ends after two that are worse."""
    from sklearn.metrics import f1_score

    best, found, worse = -1.0, strengths[0], 0
    model: LogisticRegression | None = None
    with observe.progress("choose C", len(strengths), "values") as progress:
        for strength in strengths:
            model = _fit(*train, strength, model)
            score = f1_score(validation[1], model.predict(validation[0]), average="macro", zero_division=0)
            best, found, worse = (score, strength, 0) if score > best else (best, found, worse + 1)
            progress.update()
            if worse == 2:
                break
    return found


def _vectorizer(texts: Iterable[str]) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(
        token_pattern=_WORD,
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=_MIN_ROWS,
        max_features=_FEATURES,
        dtype=np.float32,
    )
    try:
        return words.fit(texts)
    except ValueError:  # no term is in so many rows
        return words.set_params(min_df=1).fit(texts)


def _fit(seen: Any, labels: Any, strength: float, before: LogisticRegression | None = None) -> LogisticRegression:
    """Fit from where the fit `before` ended, which is near, so that it takes a part of the iterations."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = before or LogisticRegression(max_iter=_ITERATIONS, tol=1e-3, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the bound is meant
        return model.set_params(C=strength).fit(seen, labels)
