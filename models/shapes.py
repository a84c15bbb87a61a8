"""Few shapes: a question padded so that its arrays have one of a few shapes, and several questions as one.

A compiler of array programs (XLA) compiles for each shape that it meets, which takes longer than computing it a hundred times. So lengths
are multiples of 32, counts of rows and of answers powers of two or the halves between them. What is added counts for nothing: weight 0.

Shapes: B rows, T length, U target length, M answers; B', T', U', M' with what is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.question import OF_ANSWERS, Question

_WIDTH = 32
_WITH = {"input_ids": ("attention_mask", "token_types", "documents"), "target_ids": ("target_mask",)}  # of one length


@dataclass(frozen=True)
class Fitted:
    """A question with padding. A row of padding sees its own first place, so that no softmax or mean is of nothing."""

    inputs: dict[str, NDArray[Any]]  # as a question's, with an `attention_mask` for a text that has no `documents`
    places: NDArray[np.int64]  # [M']
    labels: NDArray[np.int64]  # [M'], 0 where they are unknown
    rows: NDArray[np.int64]  # [M']
    weights: NDArray[np.float32]  # [M'], 1 for an answer, 0 for padding
    more: dict[str, NDArray[Any]]  # a question's, and `row_weights` [B'], as `weights`
    batch_size: int  # B
    answers: int  # M


def fit(question: Question, longest: int = 0) -> Fitted:
    """The question in one of few shapes; no text is longer than `longest` on account of padding (0: any length)."""
    widths = {name: round_up(question.inputs[name].shape[1], longest) for name in _WITH if name in question.inputs}
    wide = widen(question, widths)
    rows, answers, batch_size = round_count(question.batch_size), round_count(len(question.places)), question.batch_size
    inputs = {name: _lengthen(value, rows) for name, value in wide.inputs.items()}
    for name in ("attention_mask", "target_mask", "documents"):
        if name in inputs:
            inputs[name][batch_size:, 0] = 1
    more = {name: _lengthen(value, answers if name in OF_ANSWERS else rows) for name, value in question.more.items()}
    labels = question.labels if len(question.labels) else np.zeros(len(question.places), np.int64)
    return Fitted(
        inputs,
        _lengthen(wide.places, answers),
        _lengthen(labels, answers),
        _lengthen(question.rows, answers),
        (np.arange(answers) < len(question.places)).astype(np.float32),
        {**more, "row_weights": (np.arange(rows) < batch_size).astype(np.float32)},
        batch_size,
        len(question.places),
    )


def widen(question: Question, widths: Mapping[str, int]) -> Question:
    """The question with texts as long as `widths` has it for `input_ids` and `target_ids`, and with masks."""
    inputs = dict(question.inputs)
    if "input_ids" in inputs and "documents" not in inputs:
        inputs.setdefault("attention_mask", np.ones_like(inputs["input_ids"], dtype=bool))
    for name, width in widths.items():
        for each in (name, *_WITH[name]):
            if each in inputs:
                inputs[each] = np.pad(inputs[each], ((0, 0), (0, width - inputs[each].shape[1])))
    if question.asks_rows:
        return replace(question, inputs=inputs)
    row, column = np.divmod(question.places, question.width)
    return replace(question, inputs=inputs, places=row * replace(question, inputs=inputs).width + column)


def merge(questions: Sequence[Question]) -> Question:
    """One question of several that have an answer for each row."""
    widths = {
        name: max(question.inputs[name].shape[1] for question in questions)
        for name in _WITH
        if name in questions[0].inputs
    }
    wide = [widen(question, widths) for question in questions]
    rows = np.arange(sum(question.batch_size for question in questions))
    return Question(
        {name: np.concatenate([question.inputs[name] for question in wide]) for name in wide[0].inputs},
        rows,
        np.concatenate([question.labels for question in questions]),
        rows,
        {name: np.concatenate([question.more[name] for question in questions]) for name in questions[0].more},
    )


def round_up(length: int, longest: int = 0) -> int:
    """A length as a multiple of 32, as far as that is not beyond `longest`."""
    rounded = -(-length // _WIDTH) * _WIDTH
    return min(rounded, max(length, longest)) if longest else rounded


def round_count(count: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    power = 1 << max(0, count - 1).bit_length()
    return power * 3 // 4 if power > 2 and count <= power * 3 // 4 else power


def _lengthen(value: NDArray[Any], length: int) -> NDArray[Any]:
    """So many rows, those that are added of zeros; a copy."""
    return np.pad(value, ((0, length - len(value)), *((0, 0) for _ in value.shape[1:])))
