"""Nothing of one split in another: rows that repeat one of a later split are removed, and the written corpus is checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from artifacts.corpus import SPLITS
from artifacts.errors import UserError
from artifacts.text import normal
from steps.prepare_data.duplicates import LEAK, Duplicates, Found
from steps.prepare_data.words import key

if TYPE_CHECKING:
    from artifacts import Output
    from steps.prepare_data.config import Config
    from steps.prepare_data.description import Counts
    from steps.prepare_data.splits import Plan


def remove_repeats(
    config: Config,
    compared: Duplicates,
    found: Found,
    planned: Plan,
    held: NDArray[np.bool_],
    staging: Path,
    counts: Counts,
) -> None:
    """Remove rows that repeat one of a later split, but for those of a given validation or test split.

    Drawn splits have none, unless groups that share a text were too large to stay together.
    """
    repeats, alike = compared.across(planned.parts)
    goes = repeats & ~held
    if config.leaks == "error" and (found.leaks or goes.any()):
        first = found.first_leak or (int(np.flatnonzero(goes)[0]),)
        raise UserError(
            f"source {config.source!r}: {found.leaks or int(goes.sum()):,} rows repeat one of another split (the first: "
            f"{' repeats '.join(_ids(staging, first))}); remove them from the source, or set leaks=remove or leaks=keep"
        )
    while config.leaks == "remove" and goes.any():  # a row that goes makes room for others to be compared
        found.out[goes] = LEAK
        planned.parts[goes] = -1
        repeats, alike = compared.across(planned.parts)
        goes = repeats & ~held
    counts.repeats, counts.alike = int(repeats.sum()), int(alike.sum())


def _ids(staging: Path, numbers: tuple[int, ...]) -> list[str]:
    """The ids of these staged rows."""
    ids = pq.read_table(staging, columns=["id"]).column("id")
    return [str(ids[number]) for number in numbers]


def check_written(output: Output, content: str, counts: Counts) -> None:
    """Read the splits again: an equal text in two of them, which the index did not see, is an AssertionError."""
    if content == "images" or counts.repeats:
        return
    keys = []
    for split in SPLITS:
        with pq.ParquetFile(output.file(f"{split}.parquet"), pre_buffer=False) as file:
            texts = (
                text for batch in file.iter_batches(1024, columns=["text"]) for text in batch.column(0).to_pylist()
            )
            found = np.fromiter((key(normal(text)) for text in texts), np.uint64, file.metadata.num_rows)
        found.sort()
        keys.append(found)
    both = sum(_count_common(keys[one], keys[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
    if both:
        raise AssertionError(f"{both} texts are in two splits")  # ours to repair, not the user's


def _count_common(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> int:
    """How many keys are in both of these sorted arrays, in memory for the smaller one."""
    few, many = sorted((one, other), key=len)
    if not len(few):
        return 0
    places = np.minimum(np.searchsorted(many, few), len(many) - 1)
    return len(np.unique(few[many[places] == few]))
