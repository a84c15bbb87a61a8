"""The report of token classification: scores of each kind, confusions, and texts with their marks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.attention import attention_of
from tasks.evaluation import Block, Evaluation, Heatmap, MarkedTexts, Span, Table
from tasks.token_classification.tagging import read_spans
from training.batches import evenly

if TYPE_CHECKING:
    from tasks.task import Task

_NOTHING = "nothing"
_SHOWN, _LONGEST = 6, 900  # texts, and characters of each


def blocks(evaluation: Evaluation, task: Task) -> list[Block]:
    """All of its section."""
    questions, predictions = evaluation.questions, evaluation.predictions
    expected = [read_spans(text) for text in questions["expected"]]
    found = [read_spans(text) for text in predictions["prediction"]]
    kinds = list(evaluation.model.settings["kinds"])
    statistics = task.statistics(questions, predictions)
    mistakes = (statistics["wrong "] + statistics["missed "]).to_numpy()
    worst = [int(place) for place in np.argsort(-mistakes, kind="stable")[:_SHOWN] if mistakes[place]]
    spread = evenly(len(questions), _SHOWN).tolist()
    how = "Underlined is what is to be found, tinted what the model found: both where it is right."
    return [
        _kinds(evaluation, task),
        _confusion(expected, found, kinds),
        _marked_texts("Marked texts", f"Texts evenly from the split. {how}", spread, evaluation, expected, found),
        _marked_texts("Worst errors", f"The texts with the most mistakes. {how}", worst, evaluation, expected, found),
        attention_of(evaluation.model, str(questions["text"].iloc[0])),
    ]


def _kinds(evaluation: Evaluation, task: Task) -> Block:
    counts = task.statistics(evaluation.questions, evaluation.predictions).sum()
    rivals = {
        name: task.metrics(task.statistics(evaluation.questions, answers))
        for name, answers in evaluation.baselines.items()
    }
    rows: list[list[Any]] = []
    for kind in (name.removeprefix("right ") for name in counts.index if name.startswith("right ")):
        right, wrong, missed = (int(counts[f"{what} {kind}"]) for what in ("right", "wrong", "missed"))
        f1 = f"f1_{kind}" if kind else "entity_f1"
        rows.append([kind or "all", right + missed, right / max(1, right + wrong), right / max(1, right + missed),
                     2 * right / max(1, 2 * right + wrong + missed), *(found[f1] for found in rivals.values())])  # fmt: skip
    note = "A span counts as found if start, end and kind are right. The last columns are the baselines' F1."
    columns = ["kind", "spans", "precision", "recall", "F1", *(f"F1 {name}" for name in rivals)]
    return Table("Kinds", note, columns, [*rows[1:], rows[0]])


def _confusion(expected: list[list[Span]], found: list[list[Span]], kinds: list[str]) -> Block:
    names = [*kinds, _NOTHING]
    counts: Counter[tuple[str, str]] = Counter()
    for truth, seen in zip(expected, found, strict=True):
        one, other = ({(start, end): kind for start, end, kind in spans} for spans in (truth, seen))
        counts.update((one.get(place, _NOTHING), other.get(place, _NOTHING)) for place in one.keys() | other.keys())
    matrix = np.array([[counts[row, column] for column in names] for row in names], float)
    share = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    note = (
        "Places with the same start and end. Rows are the true kind, columns the one that was found; nothing as a column is a "
        "place that was missed, as a row one that is none. The stronger the colour, the larger the share of the row."
    )
    return Heatmap("Confusion", note, "found", "true", names, names, share.round(3).tolist())


def _marked_texts(
    title: str,
    note: str,
    places: list[int],
    evaluation: Evaluation,
    expected: list[list[Span]],
    found: list[list[Span]],
) -> Block:
    items = []
    for place in places:
        question = evaluation.questions.iloc[place]
        text = str(question["text"])[:_LONGEST]
        truth, seen = ([span for span in spans[place] if span[1] <= len(text)] for spans in (expected, found))
        right = len(set(expected[place]) & set(found[place]))
        heading = f"{question['id']}: {right} of {len(expected[place])} found, {len(found[place]) - right} wrong"
        items.append((heading, text if len(question["text"]) <= _LONGEST else f"{text} …", truth, seen))
    return MarkedTexts(title, note, list(evaluation.model.settings["kinds"]), items)
