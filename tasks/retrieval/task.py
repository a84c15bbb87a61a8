"""Retrieval: the text that matches a query. One network embeds queries and texts; matching ones lie close.

A corpus of pairs: `text` is what is found, `target` what somebody asks. Of texts alone, `pairs: halves` has each found by its own
second half (`halves.py`). All queries of a split are asked against all of its texts. The registered model turns any text, query
or not, into its vector.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from models.network import Part
from models.question import Objective, Question, ask_each_row, text_inputs
from tasks.lengths import lengths_block
from tasks.retrieval import halves
from tasks.retrieval import report as retrieval_report
from tasks.retrieval.baselines import bm25, tf_idf
from tasks.task import Task, TaskOptions, checked_options
from training.batches import evenly
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from models.network import Parts
    from tasks.evaluation import Block, Evaluation
    from tasks.model import Model
    from tasks.task import Limits, Settings
    from telemetry import Observe
    from training.batches import Batch
    from training.examples import Example

FOUND = 10  # places of a ranking that count
_DIGITS = 5  # of a vector's numbers


class Options(TaskOptions):
    """Training options."""

    pairs: Literal["given", "halves"] = Field(
        "given", description="halves: of texts without queries, a text's second half finds its first (arXiv 2006.03659)"
    )
    temperature: float = Field(0.05, gt=0, le=10, description="What cosines are divided by (arXiv 2104.08821)")
    symmetric: bool = Field(True, description="Find the text of a query, and the query of a text")
    pooling: Literal["", "mean", "cls", "max", "last", "sequence"] = Field(
        "", description="How a sequence becomes a vector; sequence: by learned weights; empty: as the network does"
    )
    projection: int = Field(0, ge=0, le=4096, description="Width of the vectors; 0: d_model, without a projection")


class Retrieval(Task):
    """The task; `tasks/task.py` documents the methods.

    Questions are of two roles: a `query` expects the ids of its texts, a `text` is there to be found. A prediction is the
    vector of either; a baseline without vectors answers a query with the ids of the ten best, in order.
    """

    name = "retrieval"
    endpoint = "embed"
    primary_metric = "mrr_at_10"
    Options = Options

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        chosen = checked_options(self.name, Options, options)
        if corpus.info.get("content") != "pairs" and chosen.pairs == "given":
            raise TrainingError(
                f"{corpus.artifact.path}: no pairs; retrieval needs a query for each text (set target_column), or "
                "options={pairs: halves}, with which a text's second half finds its first"
            )
        return chosen.model_dump()

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        pooling = settings.get("pooling") or config.pooling
        head = Part("EmbeddingHead", {"projection": settings["projection"]}, config.with_changes({"pooling": pooling}))
        return {"encoder": Part("Encoder"), "head": head}

    def objective(self, settings: Settings) -> Objective:
        return Objective("contrast", {name: settings[name] for name in ("temperature", "symmetric")})

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        from training.examples import Example

        if settings.get("pairs") == "halves":
            yield from halves.encode(corpus, tokenizer, split, limits.max_length)
            return
        for batch in corpus.batches(split, ["id", "text", "target"]):
            texts, queries = (tokenizer.encode_batch(batch.column(name).to_pylist()) for name in ("text", "target"))
            for row_id, text, query in zip(batch.column("id").to_pylist(), texts, queries, strict=True):
                numbers, target = (tokenizer.with_ends(tokens, limits.max_length) for tokens in (text, query))
                yield Example(row_id, numbers, target=target)

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        """Each row's negatives are the other rows of its batch, except those with the same query or text."""
        if settings.get("pairs") == "halves":
            batch = halves.cut(batch, config, random if training else None)
        assert batch.target_ids is not None
        assert batch.target_mask is not None
        texts = ((batch.input_ids, batch.attention_mask), (batch.target_ids, batch.target_mask))
        kinds = [_numbers_of(ids[real].tobytes() for ids, real in zip(*both, strict=True)) for both in texts]
        kinds.append(_numbers_of(name.encode() for name in batch.ids))  # parts of one long text
        inputs = text_inputs(
            batch.input_ids, batch.attention_mask, target_ids=batch.target_ids, target_mask=batch.target_mask
        )
        return replace(ask_each_row(inputs), more={"kinds": np.stack(kinds, 1)})

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        """Each query once, then all texts. A query that several texts have expects any of them."""
        import pandas as pd

        in_two = settings.get("pairs") == "halves"
        rows = pd.DataFrame(corpus.rows(split, ["id", "text", "label", *([] if in_two else ["target"])]))
        if rows.empty:
            raise TrainingError(f"{corpus.artifact.path}: no row in the split {split}")
        if in_two:
            rows[["text", "target"]] = [halves.of(text) for text in rows["text"]]
        belonging = rows.groupby("target", sort=False)["id"].agg(list)
        asked = rows.drop_duplicates("target")
        queries = asked.assign(
            text=asked["target"], role="query", expected=[json.dumps(belonging[q]) for q in asked["target"]]
        )
        texts = rows.assign(role="text", expected="")
        return pd.concat([queries, texts], ignore_index=True)[["id", "text", "role", "expected", "label"]]

    def sample(self, questions: pd.DataFrame, count: int) -> pd.DataFrame:
        """Queries for half of them, the texts that these expect, and other texts up to `count`."""
        import pandas as pd

        is_query = (questions["role"] == "query").to_numpy()
        queries, texts = questions[is_query], questions[~is_query]
        queries = queries.iloc[evenly(len(queries), max(1, count // 2))]
        wanted = {row_id for ids in queries["expected"] for row_id in json.loads(ids)}
        is_wanted = texts["id"].isin(wanted).to_numpy(copy=True)
        others = np.flatnonzero(~is_wanted)
        is_wanted[others[evenly(len(others), max(0, count - len(queries) - int(is_wanted.sum())))]] = True
        return pd.concat([queries, texts[is_wanted]], ignore_index=True)

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """The vector of each text, of length 1: the product of two is their cosine."""
        import pandas as pd

        checked_options(self.name, self.PredictOptions, options)
        vectors: list[list[float]] = [[] for _ in inputs]
        for batch in model.batches(inputs):
            found = model.network.vectors(text_inputs(batch.input_ids, batch.attention_mask))
            for row, vector in zip(batch.rows, found.astype(np.float64).round(_DIGITS), strict=True):
                vectors[row] = vector.tolist()
        return pd.DataFrame({"prediction": pd.Series(vectors, dtype=object)})

    def statistics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        """The rank of the best text that belongs to each query; nothing for a row that is no query."""
        import pandas as pd

        ranks = np.full(len(questions), np.nan)
        is_query = (questions["role"] == "query").to_numpy()
        answers = predictions["prediction"].to_numpy()
        expected = [json.loads(ids) for ids in questions["expected"][is_query]]
        if len(answers) and isinstance(answers[-1], str):
            ranks[is_query] = [
                _place(json.loads(answer), ids) for answer, ids in zip(answers[is_query], expected, strict=True)
            ]
        else:
            number = {name: place for place, name in enumerate(questions["id"][~is_query])}
            ranks[is_query] = _ranks(cosines(questions, predictions), [[number[i] for i in ids] for ids in expected])
        return pd.DataFrame({"rank": ranks})

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        """Mean reciprocal rank (Voorhees 1999, TREC-8 question answering) and recall, of the first ten alone."""
        ranks = statistics["rank"].to_numpy(float)
        ranks = ranks[~np.isnan(ranks)]
        count = max(1, len(ranks))
        return {
            "mrr_at_10": float((1 / ranks[ranks <= FOUND]).sum() / count),
            "recall_at_1": float((ranks <= 1).sum() / count),
            "recall_at_10": float((ranks <= FOUND).sum() / count),
        }

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        import pandas as pd

        is_query = (questions["role"] == "query").to_numpy()
        queries, texts = questions["text"][is_query].tolist(), questions["text"][~is_query].tolist()
        names = questions["id"][~is_query].to_numpy()
        found = {}
        for method, rank in (("BM25", bm25), ("TF-IDF", tf_idf)):
            answers = [json.dumps(names[places].tolist()) for places in rank(queries, texts, FOUND)]
            found[method] = pd.DataFrame({"prediction": [*answers, *[""] * len(texts)]})
        return found

    def report(self, evaluation: Evaluation) -> list[Block]:
        ranks = self.statistics(evaluation.questions, evaluation.predictions)["rank"].to_numpy(float)
        blocks = retrieval_report.blocks(evaluation, ranks, cosines(evaluation.questions, evaluation.predictions))
        return [*blocks, lengths_block(self, evaluation)]

    def example(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        return super().example()[0], {"prediction": [[0.6, 0.8], [0.0, 1.0]]}


TASK = Retrieval()


def cosines(questions: pd.DataFrame, predictions: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Similarity of each query to each text: [queries, texts]."""
    is_query = (questions["role"] == "query").to_numpy()
    vectors = np.array(predictions["prediction"].tolist(), np.float64)
    return np.asarray(vectors[is_query] @ vectors[~is_query].T)


def _ranks(scores: np.ndarray[Any, np.dtype[np.float64]], expected: Sequence[Sequence[int]]) -> list[float]:
    """1 and how many others score as high as the best of those expected: who gives all the same score finds nothing."""
    ranks = []
    for row, places in zip(scores, expected, strict=True):
        best = row[places].max()
        ranks.append(1.0 + (row >= best).sum() - (row[places] >= best).sum())
    return ranks


def _numbers_of(rows: Iterable[bytes]) -> NDArray[np.int64]:
    """A number for each row, by which rows of other shards can be compared with it: [B]."""
    return np.frombuffer(b"".join(blake2b(row, digest_size=8).digest() for row in rows), np.int64)


def _place(answer: Sequence[str], expected: Sequence[str]) -> float:
    return next((place for place, name in enumerate(answer, 1) if name in expected), np.inf)
