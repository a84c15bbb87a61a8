"""An example of a task as numbers, and examples gathered in memory, for a few rows; `token_files.py` keeps a whole corpus on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.batches import Examples, Ragged

Numbers = Sequence[int] | NDArray[Any]


class Example(NamedTuple):
    """One example. A long row may become several, one behind another. A field is None in all examples of a task or in none."""

    row: str  # id of the corpus's row
    numbers: Numbers  # token ids, as the network reads them; of an image its pixels
    label: int | None = None
    target: Numbers | None = None  # a second sequence
    tags: Numbers | None = None  # as long as `numbers`; -1 where a token has none
    cut: bool = False  # whether it lost tokens, being over the limit of length


def gather(encoded: Iterable[Example], pad_id: int) -> Examples:
    """Examples in memory."""
    made = list(encoded)
    rows, numbers, labels, targets, tags, cut = zip(*made, strict=True) if made else [()] * 6
    return Examples(
        _as_ragged(numbers),
        list(rows),
        pad_id,
        np.array(labels, np.int64) if made and labels[0] is not None else None,
        _as_ragged(targets) if made and targets[0] is not None else None,
        _as_ragged(tags) if made and tags[0] is not None else None,
        sum(cut),
    )


def _as_ragged(sequences: Sequence[Numbers]) -> Ragged:
    arrays = [one if isinstance(one, np.ndarray) else np.array(one, np.int32) for one in sequences]
    lengths = np.array([0, *map(len, arrays)], np.int64)
    return Ragged(np.concatenate(arrays) if arrays else np.zeros(0, np.int32), np.cumsum(lengths))
