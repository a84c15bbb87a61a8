"""Pairs of a source and its target, and simple methods that write a target."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

import numpy as np

from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

    from artifacts.corpus import Corpus

_ISO = re.compile(r"\d{4}-\d\d-\d\d")
_NEIGHBOURS = 20_000  # training rows that a nearest one is looked for among
_ROWS = 256  # questions whose similarities are held at once


def rows_of(corpus: Corpus, split: str) -> pd.DataFrame:
    """The pairs of a split: `id`, `text`, `expected` (the target) and `label`."""
    import pandas as pd

    rows = pd.DataFrame(corpus.rows(split, ["id", "text", "target", "label"]))
    if rows.empty:
        raise TrainingError(f"{corpus.artifact.path}: no row in the split {split}")
    return rows.rename(columns={"target": "expected"})


def copy_source(questions: pd.DataFrame) -> pd.DataFrame:
    """The source as it is: names and numbers are often the same in both."""
    return _answers(questions["text"].tolist())


def nearest_target(train: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """The target of the training text that is nearest by the cosine of character 1- to 4-grams under TF-IDF."""
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer

    step = -(-len(train) // _NEIGHBOURS)
    train = train.iloc[::step]
    letters = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 4), sublinear_tf=True, max_features=50_000, dtype=np.float32
    )
    known = letters.fit_transform(train["text"]).T.tocsr()
    asked = letters.transform(questions["text"])
    nearest, likeness = [], []
    for start in range(0, asked.shape[0], _ROWS):
        near = (asked[start : start + _ROWS] @ known).toarray()
        nearest += near.argmax(1).tolist()
        likeness += near.max(1).round(6).tolist()
    return pd.DataFrame({"prediction": train["expected"].to_numpy()[nearest], "probability": likeness})


def iso_dates(targets: pd.Series[str]) -> bool:
    """Whether all of these are dates as ISO 8601 has them."""
    return all(map(_ISO.fullmatch, targets))


def iso_dates_by_rule(questions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rules without learning: the digits in the order that most of the world writes them, and a parser of English dates."""
    from dateutil import parser  # comes with pandas

    # Else what a text lacks would be taken from today's date, and another day would give another score.
    first = datetime.datetime(2000, 1, 1)

    def parse(text: str) -> str:
        try:
            year_first = text[:4].isdigit()  # the month is next then; `dayfirst` would read year, day, month
            return str(parser.parse(text, dayfirst=not year_first, default=first, ignoretz=True).date())
        except (ValueError, OverflowError):
            return ""

    texts = questions["text"].tolist()
    return {
        "the digits, day before month": _answers([_digits(text) for text in texts]),
        "dateutil, day before month": _answers([parse(text) for text in texts]),
    }


def _digits(text: str) -> str:
    numbers = re.findall(r"\d+", text)
    if numbers and len(numbers[0]) < 4:
        numbers.reverse()
    return "-".join(number.zfill(2) for number in numbers)


def _answers(predictions: list[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"prediction": predictions, "probability": 1.0})
