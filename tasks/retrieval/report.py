"""The report of retrieval: ranks, the queries that went worst, texts that lie close, and a map of all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.attention import attention_of
from tasks.evaluation import Bars, Block, Evaluation, Scatter, Table, Texts
from training.batches import evenly

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_EDGES = [1, 2, 3, 4, 6, 11, 21, 51, 101]  # of the ranks' histogram
_SHOWN, _NEAR = 8, 4  # queries or texts; neighbours of each
_LONGEST, _NAME = 90, 32  # characters of a text's beginning, and of an id's end
_DOTS, _GROUPS = 1500, 4  # of the map


def blocks(evaluation: Evaluation, ranks: NDArray[np.float64], scores: NDArray[np.float64]) -> list[Block]:
    """All of its section; `scores` [queries, texts] are cosines."""
    questions = evaluation.questions
    is_query = (questions["role"] == "query").to_numpy()
    queries, texts = questions[is_query].reset_index(drop=True), questions[~is_query].reset_index(drop=True)
    vectors = np.array(evaluation.predictions["prediction"][~is_query].tolist(), np.float64)
    ranks = ranks[is_query]
    worst = [int(place) for place in np.argsort(-ranks, kind="stable")[:_SHOWN] if ranks[place] > 1]
    some = evenly(len(queries), _SHOWN).tolist()
    return [
        _histogram(ranks, len(texts)),
        _query_table("Queries", "Queries evenly from the split.", some, queries, texts, ranks, scores),
        _query_table("Worst queries", "Those whose text came last.", worst, queries, texts, ranks, scores),
        _near(texts, vectors),
        _map(texts, vectors),
        attention_of(evaluation.model, str(texts["text"].iloc[0])),
    ]


def _histogram(ranks: NDArray[np.float64], count: int) -> Block:
    edges = [*[edge for edge in _EDGES if edge <= count], count + 1]
    values, _ = np.histogram(ranks, bins=edges)
    note = (
        f"At which place the text of a query came, among {count:,}; a bar is named by its first rank. Left is better."
    )
    return Bars("Ranks", note, "rank, from", "queries", [str(edge) for edge in edges[:-1]], values.tolist())


def _query_table(
    title: str,
    note: str,
    places: list[int],
    queries: pd.DataFrame,
    texts: pd.DataFrame,
    ranks: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> Block:
    rows: list[list[Any]] = []
    for place in places:
        query, first = queries.iloc[place], texts.iloc[int(scores[place].argmax())]
        expected = json.loads(query["expected"])[0]
        rows.append([query["text"], int(ranks[place]), _end(expected), _end(first["id"]), _start(first["text"])])
    return Table(title, note, ["query", "rank", "expected", "found first", "which begins"], rows)


def _near(texts: pd.DataFrame, vectors: NDArray[np.float64]) -> Block:
    items = []
    for place in evenly(len(texts), _SHOWN):
        scores = vectors @ vectors[place]
        scores[place] = -np.inf
        nearest = np.argsort(-scores, kind="stable")[: min(_NEAR, len(texts) - 1)]
        lines = [
            f"{scores[n]:.2f}  {_end(texts['id'].iloc[n])}\n      {_start(texts['text'].iloc[n])}" for n in nearest
        ]
        items.append((f"{texts['id'].iloc[place]}: {_start(texts['text'].iloc[place])}", "\n".join(lines)))
    return Texts("Near texts", "Texts, and those that lie closest to each, with the cosine.", items)


def _map(texts: pd.DataFrame, vectors: NDArray[np.float64]) -> Block:
    """The two directions in which the vectors differ most (principal components)."""
    some = evenly(len(texts), _DOTS)
    centred = vectors - vectors.mean(0)
    spread, directions = np.linalg.eigh(centred.T @ centred)
    flat = centred[some] @ directions[:, :-3:-1]
    flat *= np.sign(np.abs(flat).max(0) - np.abs(flat.min(0)) + 1e-12)  # a direction has no sign of its own
    labels = texts["label"].iloc[some].fillna("").to_numpy(str)
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")][:_GROUPS].tolist()
    series = {}
    for name in [*largest, "all others" if largest else "texts"]:
        chosen = labels == name if name in largest else ~np.isin(labels, largest)
        if chosen.any():
            series[name] = (flat[chosen, 0].round(4).tolist(), flat[chosen, 1].round(4).tolist())
    share = float(spread[-2:].sum() / max(1e-12, float(spread.sum())))
    note = f"The texts' vectors on the two axes that show most of how they differ ({share:.0%}); colours are labels."
    return Scatter("Map", note, "first component", "second component", series)


def _end(name: str) -> str:
    """The end of a row's id, which tells more than its beginning and has no place to be broken at."""
    return name if len(name) <= _NAME else f"… {name[-_NAME:]}"


def _start(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
