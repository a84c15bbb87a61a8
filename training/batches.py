"""Rows as numbers, and batches of rows of nearly the same length under a budget of tokens.

Padding is what a batch computes for nothing. Rows are shuffled, cut into pools of many batches, sorted by length within
a pool and filled up to the budget: few padded tokens, and still another order in each epoch. The order is a function of
(seed, epoch) alone, so a place in it is two numbers, and a resumed training sees the very same batches.

A row has one sequence (token ids; of an image, its pixels), and further data of its task: a target sequence, a tag for
each token, a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_POOL = 64  # batches that are sorted by length together

Sequences = Iterable[Sequence[int] | NDArray[Any]]


@dataclass(frozen=True)
class Ragged:
    """Sequences of numbers behind one another. Sequence i is `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> NDArray[Any]:
        return self.values[self.offsets[place] : self.offsets[place + 1]]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Numbers in each sequence."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, sequences: Sequences, dtype: type[np.generic] = np.int32) -> Ragged:
        """Put sequences behind one another."""
        lengths: list[int] = []

        def flat() -> Iterator[int]:
            for sequence in sequences:
                lengths.append(len(sequence))
                yield from sequence

        values = np.fromiter(flat(), dtype)
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """These sequences alone."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])]).astype(np.int64)
        return Ragged(np.concatenate([self[int(row)] for row in rows]), offsets)

    def pad(self, rows: NDArray[np.int64], padding: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """These sequences as one block [B, T], padded to the longest, and a mask that is False at padding."""
        lengths = self.lengths[rows]
        width = int(lengths.max())
        block = np.full((len(rows), width), padding, np.int64)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            start = self.offsets[row]
            block[place, :length] = self.values[start : start + length]
        return block, np.arange(width)[None, :] < lengths[:, None]


class Rows(Protocol):
    """Rows that batches are made of: examples, or blocks of several (`packing.py`)."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row that are not padding."""

    @property
    def ids(self) -> Sequence[str]:
        """Ids of all examples."""

    @property
    def parts(self) -> NDArray[np.int32]:
        """Index of each example among the parts of its row of the corpus."""

    def __len__(self) -> int: ...

    def members(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The examples in each of these rows."""

    def sides(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lengths of the inputs of these rows, and of their targets."""

    def tokens(self, rows: NDArray[np.int64]) -> int:
        """Tokens of these rows that are not padding."""

    def size(self, rows: NDArray[np.int64]) -> int:
        """Tokens of these rows as one batch, padding included."""

    def batch(self, rows: NDArray[np.int64], progress: float = 1.0) -> Batch:
        """These rows as one batch, padded to the longest of them, at this share of a training."""


@dataclass(frozen=True)
class Examples:
    """Rows that a task can learn from. `inputs` of text begin with [CLS] and end with [SEP]."""

    inputs: Ragged
    ids: Sequence[str]  # of the corpus's rows; several examples may come from one row
    pad_id: int
    labels: NDArray[np.int64] | None = None  # one for each row
    targets: Ragged | None = None  # a second sequence for each row
    tags: Ragged | None = None  # as long as `inputs`; -1 where a token has none
    cut: int = 0  # rows that lost tokens, being over the limit of length

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, its target's included."""
        return self.inputs.lengths if self.targets is None else self.inputs.lengths + self.targets.lengths

    @cached_property
    def parts(self) -> NDArray[np.int32]:
        """Index of each example among its row's parts, from 0: a long row may be split into several, one behind another."""
        for_each = np.zeros(len(self), np.int32)
        for place in range(1, len(self)):
            if self.ids[place] == self.ids[place - 1]:
                for_each[place] = for_each[place - 1] + 1
        return for_each

    @classmethod
    def of(
        cls, sequences: Sequences, ids: Sequence[str], pad_id: int, labels: Sequence[int] | None = None, *,
        targets: Sequences | None = None, tags: Sequences | None = None, cut: int = 0,
    ) -> Examples:  # fmt: skip
        """Build examples from each row's sequences and the task's further data."""
        return cls(
            Ragged.of(sequences),
            ids,
            pad_id,
            None if labels is None else np.asarray(labels, np.int64),
            None if targets is None else Ragged.of(targets),
            None if tags is None else Ragged.of(tags),
            cut,
        )

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """These examples alone."""
        return Examples(
            self.inputs.take(rows),
            [self.ids[row] for row in rows],
            self.pad_id,
            None if self.labels is None else self.labels[rows],
            None if self.targets is None else self.targets.take(rows),
            None if self.tags is None else self.tags.take(rows),
        )

    def spread(self, count: int) -> Examples:
        """At most `count` examples, evenly from all of them: a corpus is often sorted, so the first ones are a biased
        sample."""
        if count >= len(self):
            return self
        return self.take(evenly(len(self), count))

    def members(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The examples in each of these rows: one."""
        return list(rows[:, None])

    def sides(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lengths of the inputs of these rows, and of their targets."""
        inputs = self.inputs.lengths[rows]
        return inputs, np.zeros_like(inputs) if self.targets is None else self.targets.lengths[rows]

    def tokens(self, rows: NDArray[np.int64]) -> int:
        """Tokens of these rows that are not padding."""
        return int(self.lengths[rows].sum())

    def size(self, rows: NDArray[np.int64]) -> int:
        """Tokens of these rows as one batch, padding included."""
        return sum(int(side.max()) for side in self.sides(rows)) * len(rows)

    def batch(self, rows: NDArray[np.int64], progress: float = 1.0) -> Batch:
        """These rows as one batch, padded to the longest of them, at this share of a training."""
        input_ids, attention_mask = self.inputs.pad(rows, self.pad_id)
        target_ids, target_mask = (None, None) if self.targets is None else self.targets.pad(rows, self.pad_id)
        return Batch(
            input_ids,
            attention_mask,
            rows,
            [self.ids[row] for row in rows],
            None if self.labels is None else self.labels[rows],
            target_ids,
            target_mask,
            None if self.tags is None else self.tags.pad(rows, -1)[0],
            progress,
        )


@dataclass(frozen=True)
class Batch:
    """Rows of one update. Shapes: B rows, T the width, U the targets' width. Masks are True where there is a token."""

    input_ids: NDArray[np.int64]  # [B, T]
    attention_mask: NDArray[np.bool_]  # [B, T]
    rows: NDArray[np.int64]  # [B], places in the Examples
    ids: list[str]  # of the examples
    labels: NDArray[np.int64] | None  # [B]
    target_ids: NDArray[np.int64] | None = None  # [B, U]
    target_mask: NDArray[np.bool_] | None = None  # [B, U]
    tags: NDArray[np.int64] | None = None  # [B, T], -1 where a token has none, and at padding
    progress: float = 1.0  # share of the training's updates before this one; 1 in an evaluation
    documents: NDArray[np.int64] | None = None  # [B, T], of rows with several texts: each token's, from 1; 0 at padding

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int(self.attention_mask.sum()) + (0 if self.target_mask is None else int(self.target_mask.sum()))

    @property
    def size(self) -> int:
        """Tokens, padding included."""
        return self.input_ids.size + (0 if self.target_ids is None else self.target_ids.size)


def evenly(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` places of `total`, evenly from the first to the last."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)


def epoch(examples: Rows, batch_tokens: int, seed: int, number: int) -> list[NDArray[np.int64]]:
    """The batches of one epoch, as rows, in order: a function of (seed, number)."""
    random = np.random.default_rng([seed, number])
    order = random.permutation(len(examples))
    average = max(1.0, float(examples.lengths.mean()))
    pool = max(1, int(_POOL * batch_tokens / average))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        batches.extend(_cut(examples, rows[np.argsort(examples.lengths[rows], kind="stable")], batch_tokens))
    return [batches[place] for place in random.permutation(len(batches))]


def in_order(examples: Rows, batch_tokens: int) -> list[NDArray[np.int64]]:
    """All rows once, shortest first: for evaluation and prediction, where the order does not matter."""
    return list(_cut(examples, np.argsort(examples.lengths, kind="stable"), batch_tokens))


def _cut(examples: Rows, rows: NDArray[np.int64], batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Cut rows, sorted by length, where the padded batch would go over the budget."""
    inputs, targets = examples.sides(rows)
    start, wide, long = 0, 0, 0
    for end in range(1, len(rows) + 1):
        wide, long = max(wide, int(inputs[end - 1])), max(long, int(targets[end - 1]))
        if end == len(rows):
            yield rows[start:end]
        elif (max(wide, int(inputs[end])) + max(long, int(targets[end]))) * (end + 1 - start) > batch_tokens:
            yield rows[start:end]
            start, wide, long = end, 0, 0
