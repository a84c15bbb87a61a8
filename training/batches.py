"""Rows as token ids, and batches of rows of nearly the same length under a budget of tokens.

Padding is what a batch computes for nothing. Rows are shuffled, cut into pools of many batches, sorted by length within
a pool and filled up to the budget: few padded tokens, and still another order in each epoch. The order is a function of
(seed, epoch) alone, so a place in it is two numbers, and a resumed training sees the very same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_POOL = 64  # batches that are sorted by length together


@dataclass(frozen=True)
class Examples:
    """Tokenised rows. Row i is `tokens[offsets[i]:offsets[i + 1]]`, [CLS] and [SEP] included."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    ids: Sequence[str]  # of the corpus's rows; several examples may come from one row
    pad_id: int
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.diff(self.offsets)

    @cached_property
    def parts(self) -> NDArray[np.int32]:
        """Which part of its row each example is, from 0: a long row may be learnt in several."""
        seen: dict[str, int] = {}
        for_each = np.zeros(len(self), np.int32)
        for place, row in enumerate(self.ids):
            for_each[place] = seen[row] = seen.get(row, -1) + 1
        return for_each

    @classmethod
    def of(
        cls,
        sequences: Iterable[Sequence[int] | NDArray[np.int32]],
        ids: Sequence[str],
        pad_id: int,
        labels: Sequence[int] | None = None,
    ) -> Examples:
        """Put sequences behind one another."""
        lengths: list[int] = []

        def flat() -> Iterator[int]:
            for sequence in sequences:
                lengths.append(len(sequence))
                yield from sequence

        tokens = np.fromiter(flat(), np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(tokens, offsets, ids, pad_id, None if labels is None else np.asarray(labels, np.int64))

    def spread(self, count: int) -> Examples:
        """At most `count` examples, evenly from all of them: a corpus is often sorted, so the first ones are a biased
        sample."""
        if count >= len(self):
            return self
        rows = np.linspace(0, len(self) - 1, count).round().astype(np.int64)
        sequences = [self.tokens[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])]).astype(np.int64)
        labels = None if self.labels is None else self.labels[rows]
        return Examples(np.concatenate(sequences), offsets, [self.ids[row] for row in rows], self.pad_id, labels)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """These rows as one batch, padded to the longest of them."""
        lengths = self.lengths[rows]
        width = int(lengths.max())
        input_ids = np.full((len(rows), width), self.pad_id, np.int64)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            start = self.offsets[row]
            input_ids[place, :length] = self.tokens[start : start + length]
        attention_mask = np.arange(width)[None, :] < lengths[:, None]
        labels = None if self.labels is None else self.labels[rows]
        return Batch(input_ids, attention_mask, rows, [self.ids[row] for row in rows], labels)


@dataclass(frozen=True)
class Batch:
    """Rows of one update. Shapes: B rows, T the width. `attention_mask` is True where there is a token."""

    input_ids: NDArray[np.int64]  # [B, T]
    attention_mask: NDArray[np.bool_]  # [B, T]
    rows: NDArray[np.int64]  # [B], places in the Examples
    ids: list[str]
    labels: NDArray[np.int64] | None  # [B]

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int(self.attention_mask.sum())


def epoch(examples: Examples, batch_tokens: int, seed: int, number: int) -> list[NDArray[np.int64]]:
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


def in_order(examples: Examples, batch_tokens: int) -> list[NDArray[np.int64]]:
    """All rows once, shortest first: for evaluation and prediction, where the order does not matter."""
    return list(_cut(examples, np.argsort(examples.lengths, kind="stable"), batch_tokens))


def _cut(examples: Examples, rows: NDArray[np.int64], batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Cut rows, sorted by length, where the padded batch would go over the budget."""
    widths, start = examples.lengths[rows], 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or widths[end] * (end + 1 - start) > batch_tokens:
            yield rows[start:end]
            start = end
