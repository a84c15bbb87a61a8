"""The section of the report of tasks that write a text: scores by label and by length, the decoder's attention, the worst answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.decoding import Decoding
from tasks.evaluation import AttentionMaps, Block, Evaluation, Lines, Table, Texts
from tasks.seq2seq.alignment import alignment_of
from training.batches import evenly

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from models.decoding import Hypothesis
    from tasks.model import Model

_WORST = 12  # answers that are shown
_SHOWN = 600  # characters of a text
_ALIGNED = 3  # rows whose alignment is shown
_LISTED = 4  # rows whose n best are shown
_BEAMS = 5
_OWN = "this model"
_LENGTHS = 8  # groups of rows by length

Search = Callable[["Model", Sequence[str], Decoding], "list[list[Hypothesis]]"]


class ScoredTask(Protocol):
    """The calls on a task that the report makes: see `tasks/seq2seq/task.py`."""

    primary_metric: str

    def statistics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame: ...

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]: ...

    def row_scores(self, statistics: pd.DataFrame) -> NDArray[np.float64]: ...


def section(task: ScoredTask, evaluation: Evaluation, search: Search) -> list[Block]:
    """All blocks; `search` finds the best targets of texts."""
    questions = evaluation.questions
    answered = {_OWN: evaluation.predictions, **evaluation.baselines}
    statistics = {name: task.statistics(questions, answers) for name, answers in answered.items()}
    return [
        *_by_label(task, questions, statistics),
        _by_length(task, evaluation, statistics),
        *_alignments(evaluation, search),
        _worst(questions, evaluation.predictions, task.row_scores(statistics[_OWN])),
        _n_best(evaluation, search),
    ]


def _by_label(task: ScoredTask, questions: pd.DataFrame, statistics: Mapping[str, pd.DataFrame]) -> list[Block]:
    """Nothing where rows have no labels."""
    labels = sorted(questions["label"].dropna().unique())
    rows = []
    for label in labels:
        of_label = (questions["label"] == label).to_numpy(bool)
        scores = (task.metrics(found[of_label])[task.primary_metric] for found in statistics.values())
        rows.append([label, int(of_label.sum()), *map(float, scores)])
    note = f"The {_metric_name(task)} of each label's rows, worst first, with the baselines'."
    rows.sort(key=lambda row: (row[2], row[0]))
    return [Table("Labels", note, ["label", "rows", *statistics], rows)] if labels else []


def _by_length(task: ScoredTask, evaluation: Evaluation, statistics: Mapping[str, pd.DataFrame]) -> Block:
    model = evaluation.model
    lengths = np.array([len(ids) for ids in model.tokenizer.encode_batch(evaluation.questions["text"].tolist())])
    order = np.argsort(lengths, kind="stable")
    groups = [rows for rows in np.array_split(order, min(_LENGTHS, len(order))) if len(rows)]
    xs = [float(lengths[rows].mean()) for rows in groups]
    series = {
        name: (xs, [task.metrics(found.iloc[rows])[task.primary_metric] for rows in groups])
        for name, found in list(statistics.items())[:4]
    }
    limit = model.config.max_length - 2
    note = (
        f"The {_metric_name(task)} of {len(groups)} groups of rows by the length of their source. The model reads the first {limit} "
        f"tokens; {float((lengths > limit).mean()):.1%} of the sources are longer."
    )
    return Lines("Lengths", note, "mean tokens of the source", _metric_name(task), series)


def _alignments(evaluation: Evaluation, search: Search) -> list[AttentionMaps]:
    texts = _spread(evaluation.questions["text"].tolist(), _ALIGNED)
    found = search(evaluation.model, texts, Decoding(max_new_tokens=_room(evaluation)))
    return [
        alignment_of(evaluation.model, text, row[0].ids, f"Alignment {number}")
        for number, (text, row) in enumerate(zip(texts, found, strict=True), 1)
    ]


def _worst(questions: pd.DataFrame, predictions: pd.DataFrame, scores: NDArray[np.float64]) -> Block:
    """By their score, and by the model's own probability where that is the same."""
    order = np.lexsort([predictions["probability"].to_numpy(float), scores])
    wrong = (questions["expected"] != predictions["prediction"]).to_numpy()
    items = []
    for place in order[wrong[order]][:_WORST].tolist():
        question, answer = questions.iloc[place], predictions.iloc[place]
        label = f"{question['label']}, " if question["label"] is not None else ""
        items.append((f"{label}{question['id']} ({answer['probability']:.1%} sure)", _lines({
            "source": question["text"], "wanted": question["expected"], "written": answer["prediction"],
        })))  # fmt: skip
    note = "Not what was wanted: the lowest score first, then the least sure."
    return Texts("Worst outputs", note, items)


def _n_best(evaluation: Evaluation, search: Search) -> Block:
    rows = _spread(list(range(len(evaluation.questions))), _LISTED)
    questions = evaluation.questions.iloc[rows]
    options = Decoding(method="beam", beams=_BEAMS, n_best=_BEAMS, max_new_tokens=_room(evaluation))
    items, tokenizer = [], evaluation.model.tokenizer.target
    found = search(evaluation.model, questions["text"].tolist(), options)
    for text, expected, row in zip(questions["text"], questions["expected"], found, strict=True):
        lines = [f"{np.exp(one.log_probability):7.2%}  {tokenizer.decode(one.ids)}" for one in row]
        items.append((f"{text[:_SHOWN]} (wanted: {expected[:_SHOWN]})", "\n".join(lines)))
    return Texts(
        "The best of a beam", f"What a beam of {_BEAMS} found for a few rows, with the model's probability.", items
    )


def _room(evaluation: Evaluation) -> int:
    return evaluation.model.config.max_length - 1


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """A few of them, evenly from the first to the last."""
    return [items[place] for place in evenly(len(items), count).tolist()]


def _metric_name(task: ScoredTask) -> str:
    return task.primary_metric.replace("_", " ")


def _lines(parts: Mapping[str, str]) -> str:
    return "\n".join(
        f"{name + ':':8} {text if len(text) <= _SHOWN else text[:_SHOWN] + ' …'}" for name, text in parts.items()
    )
