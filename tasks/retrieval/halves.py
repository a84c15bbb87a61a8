"""Pairs from texts alone: two parts of one text belong together, so its second half should find its first.

Giorgi et al. 2021, "DeCLUTR" (arXiv 2006.03659), section 3.1, learns vectors from spans of one text, Izacard et al. 2022,
"Contriever" (arXiv 2112.09118), section 3.1, from crops of it. Here the two have no token in common, and the place of the cut is
drawn anew each time a text is seen, from the middle of it: so a few texts give many pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from training.batches import Ragged

if TYPE_CHECKING:
    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from training.batches import Batch
    from training.examples import Example

_FIRST, _LAST = 0.3, 0.7  # of a text: where it may be cut
_SHORTEST = 4  # tokens; a shorter rest of a long text says too little of it
_GAP = re.compile(r"\s+")


def of(text: str) -> tuple[str, str]:
    """A text cut in two, at the white space nearest to its middle, or in the middle of a text that has none."""
    middle = len(text) // 2
    gaps = [found.span() for found in _GAP.finditer(text.rstrip()) if found.start()]
    start, stop = min(gaps, key=lambda gap: abs(gap[0] - middle), default=(middle, middle))
    return text[:start], text[stop:]


def encode(corpus: Corpus, tokenizer: Tokenizer, split: str, max_length: int) -> Iterator[Example]:
    """All text of the split; a text longer than two sequences becomes several examples."""
    from training.examples import Example

    ends = len(tokenizer.with_ends([], max_length))
    room = 2 * (max_length - ends)
    for batch in corpus.batches(split, ["id", "text"]):
        encoded = tokenizer.encode_batch(batch.column("text").to_pylist())
        for row_id, tokens in zip(batch.column("id").to_pylist(), encoded, strict=True):
            for start in range(0, max(1, len(tokens)), room):
                if start == 0 or len(tokens) - start >= _SHORTEST:
                    yield Example(row_id, tokenizer.with_ends(tokens[start:], room + ends))


def cut(batch: Batch, config: ModelConfig, random: np.random.Generator | None) -> Batch:
    """The batch with the first part of each text as its input and the second as its target; without `random`, halves.

    Each part begins with [CLS] if the whole does, and ends with [SEP].
    """
    share = np.full(len(batch.ids), 0.5) if random is None else random.uniform(_FIRST, _LAST, len(batch.ids))
    first, second = [], []
    for row, mask, part in zip(batch.input_ids, batch.attention_mask, share.tolist(), strict=True):
        tokens = row[mask]
        opening = tokens[: int(tokens[0] == config.cls_id)]
        middle, room = tokens[len(opening) : -1], config.max_length - len(opening) - 1
        at = min(max(round(part * len(middle)), len(middle) - room), room)
        first.append(np.concatenate([opening, middle[:at], tokens[-1:]]))
        second.append(np.concatenate([opening, middle[at:], tokens[-1:]]))
    rows = np.arange(len(batch.ids))
    (inputs, mask), (targets, target_mask) = (Ragged.of(parts).pad(rows, config.pad_id) for parts in (first, second))
    return replace(batch, input_ids=inputs, attention_mask=mask, target_ids=targets, target_mask=target_mask)
