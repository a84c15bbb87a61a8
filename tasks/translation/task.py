"""Translation: a text becomes another in another language; there are many right ones, so n-grams are compared.

Scored by sacrebleu (Post 2018, W18-6319) and by nothing of ours; its signatures are in the report.

    chrF  F2 of character n-grams up to 6       Popović 2015, W15-3049
    BLEU  precision of word n-grams up to 4     Papineni et al. 2002, P02-1040

chrF is the one that the gate compares: it agrees better with people than BLEU does (Kocmi et al. 2021, arXiv 2107.10821,
table 2), says something of a single sentence, and needs no tokenization, which languages without spaces lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.evaluation import Block, Evaluation, Table
from tasks.seq2seq.baselines import copy_source, nearest_target, rows_of
from tasks.seq2seq.task import Seq2Seq

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from tasks.task import Settings
    from telemetry import Observe


class Translation(Seq2Seq):
    """The task; `tasks/task.py` documents the methods."""

    name = "translation"
    title = "Translation"
    primary_metric = "chrf"
    metric_unit = "%"

    def statistics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        """Counts of n-grams: sacrebleu's own of each row. Their sums over any rows give the score of these rows."""
        import pandas as pd

        expected, written = questions["expected"].tolist(), predictions["prediction"].tolist()
        columns: dict[str, NDArray[np.int64]] = {}
        for name, metric in _metrics().items():
            # Its public calls score a corpus, and would count all n-grams again for each bootstrap sample.
            counts = np.array(metric._extract_corpus_statistics(written, [expected]), np.int64)
            columns |= {f"{name}_{number}": counts[:, number] for number in range(counts.shape[1])}
        return pd.DataFrame(columns)

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        return {
            name: float(metric._aggregate_and_compute(_counts(statistics, name).sum(0, keepdims=True).tolist()).score)
            for name, metric in _metrics().items()
        }

    def signatures(self) -> dict[str, str]:
        for metric in _metrics().values():
            # A signature tells of the number of references, known once it has scored
            metric.corpus_score(["a"], [["a"]])
        return {name: str(metric.get_signature()) for name, metric in _metrics().items()}

    def row_scores(self, statistics: pd.DataFrame) -> NDArray[np.float64]:
        metric = _metrics()["chrf"]
        counts = _counts(statistics, "chrf")
        return np.array([metric._aggregate_and_compute([row]).score for row in counts.tolist()])

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        nearest = nearest_target(rows_of(corpus, "train"), questions)
        return {"the source itself": copy_source(questions), "the nearest training text's target": nearest}

    def report(self, evaluation: Evaluation) -> list[Block]:
        note = "sacrebleu's signatures: scores with the same signatures can be compared."
        rows = [[name, signature] for name, signature in self.signatures().items()]
        return [Table("Signatures", note, ["metric", "signature"], rows), *super().report(evaluation)]

    def example(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        return (
            {"text": ["Good morning.", "Where is the station?"]},
            {"prediction": ["a translation", "another"], "probability": [0.5, 0.5]},
        )


TASK = Translation()


@cache
def _metrics() -> Mapping[str, Any]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return {"chrf": CHRF(), "bleu": BLEU(force=True)}  # `force`: no warning of full stops that stand alone


def _counts(statistics: pd.DataFrame, name: str) -> NDArray[np.int64]:
    return statistics.filter(regex=f"^{name}_").to_numpy(np.int64)
