"""Several texts in a row: blocks of at most one length, in place of a row for each text with padding.

A text attends to itself alone, and its positions begin at 0 (Krell et al. 2021, "Efficient Sequence Packing without
Cross-contamination", arXiv 2107.02027, section 3.2), so that its answers are those that it would have in a row of its own.

No text is cut at the end of a block. Best-fit decreasing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv
2404.10830, section 3.1): the longest first, each goes to the fullest block that has room for it. Which of equally long texts share a
block is drawn from the seed, once for a training; epochs shuffle the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.batches import Batch, Examples, Rows, epoch
from training.shards import cut


def best_fit(lengths: NDArray[np.int64], width: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The block [N] of each sequence, none longer than `width`. Equally long ones are handled together."""
    order = random.permutation(len(lengths))
    order = order[np.argsort(-lengths[order], kind="stable")]
    block_of, blocks = np.zeros(len(lengths), np.int64), 0
    free: dict[int, list[NDArray[np.int64]]] = {}  # room -> the blocks that have it
    for waiting in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        length = int(lengths[waiting[0]])
        while len(waiting):
            room = min((room for room in free if room >= length), default=0)
            each = (
                room or width
            ) // length  # as many of this length fill the fullest block before there is a better one
            wanted = -(-len(waiting) // each)
            if room:
                open_blocks = np.concatenate(free.pop(room))
            else:
                room, open_blocks, blocks = width, np.arange(blocks, blocks + wanted), blocks + wanted
            taken, rest = open_blocks[:wanted], open_blocks[wanted:]
            chosen = np.repeat(taken, each)[: len(waiting)]
            block_of[waiting[: len(chosen)]] = chosen
            last = len(chosen) - each * (len(taken) - 1)  # in the last block, it may be, fewer
            waiting = waiting[len(chosen) :]
            for left, those in ((room, rest), (room - each * length, taken[:-1]), (room - last * length, taken[-1:])):
                if left and len(those):
                    free.setdefault(left, []).append(those)
    return block_of


@dataclass(frozen=True)
class Blocks:
    """Examples as rows that hold several of them. A row is a block: `order[offsets[row]:offsets[row + 1]]` are its examples."""

    examples: Examples
    order: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def pack(cls, examples: Examples, width: int, seed: int) -> Blocks:
        """Examples of one sequence each, in blocks of at most `width` tokens."""
        block_of = best_fit(examples.lengths, width, np.random.default_rng(seed))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(block_of))]).astype(np.int64)
        return cls(examples, np.argsort(block_of, kind="stable"), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each block."""
        ends = np.concatenate([[0], np.cumsum(self.examples.lengths[self.order])])
        return np.diff(ends[self.offsets])

    @property
    def ids(self) -> Sequence[str]:
        """Ids of all examples."""
        return self.examples.ids

    @property
    def parts(self) -> NDArray[np.int32]:
        """Index of each example among the parts of its row of the corpus."""
        return self.examples.parts

    def members(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The examples in each of these blocks."""
        return [self.order[self.offsets[row] : self.offsets[row + 1]] for row in rows]

    def sides(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lengths of the inputs of these blocks, and of their targets, which they lack."""
        inputs = self.lengths[rows]
        return inputs, np.zeros_like(inputs)

    def tokens(self, rows: NDArray[np.int64]) -> int:
        """Tokens of these blocks that are not padding."""
        return int(self.lengths[rows].sum())

    def size(self, rows: NDArray[np.int64]) -> int:
        """Tokens of these blocks as one batch, padding included."""
        return int(self.lengths[rows].max()) * len(rows)

    def batch(self, rows: NDArray[np.int64], progress: float = 1.0) -> Batch:
        """These blocks as one batch, padded to the fullest of them. Without `documents` where each holds one text."""
        members, lengths = self.members(rows), self.lengths[rows]
        apart = self.examples.batch(np.concatenate(members), progress)
        mask = np.arange(lengths.max())[None, :] < lengths[:, None]
        input_ids, documents = np.full(mask.shape, self.examples.pad_id, np.int64), np.zeros(mask.shape, np.int64)
        input_ids[mask] = apart.input_ids[apart.attention_mask]
        numbers = np.concatenate([np.arange(1, len(those) + 1) for those in members])
        documents[mask] = np.repeat(numbers, apart.attention_mask.sum(1))
        return Batch(
            input_ids,
            mask,
            rows,
            apart.ids,
            None,
            progress=progress,
            documents=documents if len(apart.ids) > len(rows) else None,
        )


def padding_share(rows: Rows, batch_tokens: int, shards: int, seed: int) -> float:
    """Share of padding in the first epoch's batches."""
    batches = epoch(rows, batch_tokens, seed, 0)
    size = sum(rows.size(own) for batch in batches for own in cut(batch, shards))
    return 1 - int(rows.lengths.sum()) / size
