"""One batch as it is put to a network: numpy arrays alone, so that every framework is asked the same.

Shapes: B rows, T length, U target length, C channels, H x W pixels, M answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

OF_ANSWERS = ("drawn",)  # arrays of `more` that have a value for each answer; all others have one for each row


@dataclass(frozen=True)
class Question:
    """The inputs of a network and the expected answers.

    `inputs`: `input_ids` [B, T] and `attention_mask` [B, T], False at padding, left out if nothing is padded; with them
    `token_types` [B, T] and `causal` [B], or `target_ids` [B, U] and `target_mask`. Of rows with several texts `documents` [B, T],
    each token's text, from 1, and 0 at padding, in place of the mask. Of images `pixels` [B, C, H, W].
    """

    inputs: Arrays
    places: NDArray[np.int64]  # [M], places in the flattened [B * T] (of an encoder-decoder [B * U]); or rows
    labels: NDArray[np.int64]  # [M], the right answers; empty if unknown
    rows: NDArray[np.int64]  # [M], the row of the batch that each is of
    more: Arrays = field(default_factory=dict)  # further arrays that one objective needs
    whole: Question | None = None  # the question that this one is a part of

    @property
    def batch_size(self) -> int:
        """Rows of the batch."""
        return len(next(iter(self.inputs.values())))

    @property
    def tokens(self) -> int:
        """Tokens of its texts, without padding."""
        mask = self.inputs.get("attention_mask")
        return int(self.inputs["input_ids"].size if mask is None else mask.sum())

    @property
    def targets(self) -> NDArray[np.int64]:
        """Answers wanted of each row, [B]."""
        return np.bincount(self.rows, minlength=self.batch_size)

    def cuts(self, count: int) -> list[slice]:
        """Its rows as so many runs, one about as long as the other; fewer if there are not as many rows."""
        count = max(1, min(count, self.batch_size))
        ends = [self.batch_size * number // count for number in range(count + 1)]
        return [slice(first, last) for first, last in pairwise(ends)]

    def part(self, run: slice) -> Question:
        """The question of a run of its rows alone. Losses that are weighted by a batch's size look at `whole` for it."""
        if (run.start, run.stop) == (0, self.batch_size):
            return self
        chosen = self.answers(run)
        width = 1 if self.asks_rows else self.width
        return Question(
            {name: value[run] for name, value in self.inputs.items()},
            self.places[chosen] - run.start * width,
            self.labels[chosen] if len(self.labels) else self.labels,
            self.rows[chosen] - run.start,
            {name: value[chosen if name in OF_ANSWERS else run] for name, value in self.more.items()},
            whole=self.whole or self,
        )

    def answers(self, run: slice) -> NDArray[np.bool_]:
        """The answers of a run of its rows, as a mask [M] over all."""
        chosen: NDArray[np.bool_] = (self.rows >= run.start) & (self.rows < run.stop)
        return chosen

    @property
    def asks_rows(self) -> bool:
        """Whether answers are of rows, and not of places in them."""
        return np.array_equal(self.places, self.rows)

    @property
    def width(self) -> int:
        """Places of a row."""
        return int(self.inputs["target_ids" if "target_ids" in self.inputs else "input_ids"].shape[1])


@dataclass(frozen=True)
class Objective:
    """A function of `models/<framework>/objectives.py` by its name, and its options."""

    name: str = "choices"
    options: Mapping[str, Any] = field(default_factory=dict)


def text_inputs(
    input_ids: NDArray[np.int64],
    attention_mask: NDArray[np.bool_],
    documents: NDArray[np.int64] | None = None,
    **more: NDArray[Any],
) -> dict[str, NDArray[Any]]:
    """Inputs of texts. A mask that is True everywhere is left out: attention without one is quicker. The `documents` of rows with
    several texts say as well where padding is."""
    if documents is not None:
        return {"input_ids": input_ids, "documents": documents, **more}
    mask = {} if attention_mask.all() else {"attention_mask": attention_mask}
    return {"input_ids": input_ids, **mask, **more}


def ask_each_row(inputs: Arrays, labels: NDArray[np.int64] | None = None) -> Question:
    """One answer a row."""
    rows = np.arange(len(next(iter(inputs.values()))))
    return Question(inputs, rows, np.zeros(0, np.int64) if labels is None else labels, rows)


def ask_places(inputs: Arrays, wanted: NDArray[np.bool_], labels: NDArray[np.int64]) -> Question:
    """An answer at each place where `wanted` [B, T] is True; `labels` [B, T]."""
    places = np.flatnonzero(wanted)
    return Question(inputs, places, labels.reshape(-1)[places].astype(np.int64), places // wanted.shape[1])
