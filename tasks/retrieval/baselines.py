"""Baselines of retrieval: BM25 and TF-IDF, on the same words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")  # names are split: getItem is get, Item


def words_of(text: str) -> list[str]:
    """A text's words, in small letters."""
    return [word.lower() for word in _WORDS.findall(text)]


def bm25(queries: Sequence[str], texts: Sequence[str], count: int) -> Iterator[NDArray[np.int64]]:
    """The places of the best texts for each query; Lucene's variant with its k1 = 1.5, b = 0.75 (arXiv 2407.03618)."""
    import bm25s

    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index([words_of(text) for text in texts], show_progress=False)
    for query in queries:
        yield _best(index.get_scores(words_of(query)), count)


def tf_idf(queries: Sequence[str], texts: Sequence[str], count: int) -> Iterator[NDArray[np.int64]]:
    """The same by the cosine of vectors of TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False, sublinear_tf=True)
    known = words.fit_transform(texts).T.tocsr()
    for query in words.transform(queries):
        yield _best((query @ known).toarray()[0], count)


def _best(scores: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The highest scores in order, the first of equals first; texts with no word in common are left out."""
    order = np.argsort(-scores, kind="stable")[:count]
    return order[scores[order] > 0]
