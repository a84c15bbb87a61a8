"""Common to all tasks that choose a class: answers, counts, scores and calibration, and their parts of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from tasks.evaluation import Block, Evaluation, Heatmap, Lines, Table
from tasks.task import TaskOptions

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_BINS = 10  # of the calibration plot
_COLUMNS = ("expected", "prediction")


class Choosing(TaskOptions):
    """Options for the classes in an answer."""

    top_k: int = Field(
        1, ge=1, description="Classes to give in `top`, most probable first, if more than one; many: all"
    )


def top_classes(probabilities: NDArray[np.floating[Any]], labels: Sequence[str], options: Choosing) -> pd.DataFrame:
    """Rows of probabilities [row, class] -> `prediction` and `probability` of the best, and with `top_k` a column `top`: lists
    of {"label", "probability"}."""
    import pandas as pd

    rows, count = len(probabilities), min(options.top_k, len(labels))
    best = probabilities.argmax(1)[:, None]
    order = best if count == 1 else np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(probabilities, order, 1).astype(np.float64).round(6)
    frame = pd.DataFrame({"prediction": [labels[i] for i in order[:, 0]], "probability": values[:, 0]})
    if options.top_k == 1:
        return frame
    top = [
        [{"label": labels[i], "probability": p} for i, p in zip(order[row].tolist(), values[row].tolist(), strict=True)]
        for row in range(rows)
    ]
    return frame.assign(top=pd.Series(top, dtype=object))


def scores(statistics: pd.DataFrame) -> dict[str, float]:
    """Macro F1 and accuracy of columns `expected` and `prediction`."""
    return score_function(statistics)(np.arange(len(statistics)))


def score_function(statistics: pd.DataFrame) -> Callable[[NDArray[np.int64]], dict[str, float]]:
    """A function that computes `scores` of some of these rows, from counts of pairs of labels: hundreds of times faster."""
    labels = np.unique([statistics["expected"].to_numpy().astype(str), statistics["prediction"].to_numpy().astype(str)])
    expected, predicted = (np.searchsorted(labels, statistics[name].to_numpy().astype(str)) for name in _COLUMNS)
    codes, size = expected * len(labels) + predicted, len(labels)

    def of(rows: NDArray[np.int64]) -> dict[str, float]:
        counts = np.bincount(codes[rows], minlength=size * size).reshape(size, size)
        occurs = counts.sum(0) + counts.sum(1) > 0
        f1 = per_class(counts)["f1"][occurs]
        return {"macro_f1": float(f1.mean()), "accuracy": float(np.trace(counts) / counts.sum())}

    return of


def majority(train: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """The baseline that always answers with the commonest class of the training rows."""
    import pandas as pd

    commonest = train["expected"].value_counts().sort_index(kind="stable").idxmax()
    share = float((train["expected"] == commonest).mean())
    return pd.DataFrame({"prediction": [commonest] * len(questions), "probability": round(share, 6)})


def confusion(expected: NDArray[Any], predicted: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Counts [expected, predicted] over the labels that occur in either, and these labels, sorted."""
    labels, both = np.unique(np.concatenate([expected.astype(str), predicted.astype(str)]), return_inverse=True)
    rows, columns = both[: len(expected)], both[len(expected) :]
    counts = np.bincount(rows * len(labels) + columns, minlength=len(labels) ** 2)
    return counts.reshape(len(labels), len(labels)), [str(label) for label in labels]


def per_class(counts: NDArray[np.int64]) -> Mapping[str, NDArray[np.float64]]:
    """Precision, recall and F1 of each class; 0 if a class was never predicted (as scikit-learn has it)."""
    right = np.diag(counts).astype(float)
    predicted, expected = counts.sum(0), counts.sum(1)
    return {
        "precision": np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0),
        "recall": np.divide(right, expected, out=np.zeros_like(right), where=expected > 0),
        "f1": np.divide(2 * right, predicted + expected, out=np.zeros_like(right), where=predicted + expected > 0),
    }


def calibration_error(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error over equal bins (Guo et al. 2017, arXiv 1706.04599, equation 3)."""
    place = _bins(probability)
    return float(sum(abs(right[place == b].sum() - probability[place == b].sum()) for b in range(_BINS)) / len(right))


def calibration_curve(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """Mean probability and share of right answers of each bin that is not empty."""
    place = _bins(probability)
    filled = [b for b in range(_BINS) if (place == b).any()]
    return [float(probability[place == b].mean()) for b in filled], [float(right[place == b].mean()) for b in filled]


def _bins(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)


def class_table(counts: NDArray[np.int64], labels: list[str], evaluation: Evaluation) -> Block:
    """Precision, recall and F1 of each class, and the F1 of the baselines."""
    found = per_class(counts)
    rivals = {}
    for name, predictions in evaluation.baselines.items():
        other, other_labels = confusion(
            evaluation.questions["expected"].to_numpy(), predictions["prediction"].to_numpy()
        )
        rivals[name] = dict(zip(other_labels, per_class(other)["f1"], strict=True))
    rows = [
        [
            label,
            int(counts[i].sum()),
            *(float(found[name][i]) for name in ("precision", "recall", "f1")),
            *(float(rivals[name].get(label, 0.0)) for name in rivals),
        ]
        for i, label in enumerate(labels)
    ]
    columns = ["class", "rows", "precision", "recall", "F1", *(f"F1 {name}" for name in rivals)]
    return Table("Classes", "Scores of each class on the test split, with the baselines' F1.", columns, rows)


def confusion_map(counts: NDArray[np.int64], labels: list[str]) -> Block:
    """The confusion matrix: true classes against predicted ones."""
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    note = (
        "Rows are the true class, columns the predicted one; the stronger the colour, the larger the share of the row. A "
        "perfect model colours the diagonal alone."
    )
    return Heatmap("Confusion", note, "predicted", "true", labels, labels, share.round(3).tolist())


def calibration(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> Block:
    """Calibration of the model's probabilities."""
    note = (
        f"How sure the model is against how often it is right, in {_BINS} bins. On the line, its probabilities can be taken "
        f"at their word; below it, it is too sure of itself. Expected calibration error {calibration_error(probability, right):.3f}."
    )
    return Lines(
        "Calibration",
        note,
        "probability given",
        "share right",
        {"model": calibration_curve(probability, right)},
        diagonal=True,
    )
