"""From a source to a corpus: stage the rows that can be used, drop what repeats, split, write, check."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from artifacts import durable
from artifacts.corpus import SPLITS
from steps.contract import UserError
from steps.preparation.description import LENGTHS, Counts, description
from steps.preparation.images import Uniform
from steps.preparation.near_duplicates import Index, Mask
from steps.preparation.rows import Bad, Row, checked
from steps.preparation.sources import Source, source_of
from steps.preparation.split import split_of
from steps.preparation.writing import QUARANTINE, Writer, columns_of

if TYPE_CHECKING:
    from artifacts import Output
    from steps.prepare_data import Config
    from telemetry import Observe


def prepare(config: Config, output: Output, observe: Observe) -> None:
    """Write a corpus into `output`. UserError when too many rows are bad, or a split would be of no use."""
    counts, source = Counts(), source_of(config)
    scratch = output.work / "preparation"
    shutil.rmtree(scratch, ignore_errors=True)  # a killed run's: reading starts anew, and ends with the same rows
    with Index(scratch / "index") as index:
        with observe.phase("read"):
            _stage(config, source, scratch / "rows.parquet", output.file("quarantine.parquet"), index, counts, observe)
        _check_bad(config, counts, observe)
        with observe.phase("deduplicate"):
            exact, near = index.duplicates(config.near_duplicate_threshold, observe)
            counts.exact, counts.near = int(exact.sum()), int(near.sum())
        for reason, count in (("exact", counts.exact), ("near", counts.near)):
            observe.count("corpus.duplicates", count, reason=reason)
        with observe.phase("split"):
            parts = _write_splits(config, source, scratch / "rows.parquet", exact | near, output, counts)
        _check_splits(config, source, counts)
        with observe.phase("check"):
            leaks = index.pairs_across(parts, config.near_duplicate_threshold)
        if leaks:
            raise AssertionError(f"{leaks} rows have a duplicate in another split")  # ours to mend, not the user's
    durable.write_json(output.file("corpus.json"), description(config, source, counts, leaks))
    shutil.rmtree(scratch)
    for split in SPLITS:
        output.counts[split] = counts.rows[split]
        observe.metric("corpus.rows", counts.rows[split], split=split)
    edges = zip(LENGTHS, [*LENGTHS[1:], None], strict=True) if counts.lengths else ()  # images have no length
    for number, (edge, longer) in enumerate(edges, 1):
        length = f"{edge}-{longer}" if longer else f"{edge} or more"
        observe.metric("corpus.rows_by_length", counts.lengths[number], length=length)
    observe.log(
        "corpus.written",
        f"{sum(counts.rows.values())} rows: {dict(counts.rows)}",
        duplicates=counts.exact + counts.near,
    )


def _stage(
    config: Config, source: Source, staging: Path, quarantine: Path, index: Index, counts: Counts, observe: Observe
) -> None:
    images = Uniform(config)
    with (
        Writer(staging, columns_of(source.content(config))) as rows,
        Writer(quarantine, QUARANTINE) as set_aside,
        observe.progress("rows", None, "rows") as progress,
    ):
        for item in source.rows(config, observe):
            if config.max_rows and rows.count >= config.max_rows:
                break
            counts.read += 1
            if isinstance(item, Row) and item.image is not None:
                item = images.row(item)
            row = (
                checked(item, item.id, config.min_characters, config.max_characters) if isinstance(item, Row) else item
            )
            if isinstance(row, Bad):
                counts.bad[row.reason] += 1
                counts.first_bad = counts.first_bad or f"{row.place}: {row.reason}"
                set_aside.add(row)
            elif row is None:
                counts.short += 1
            else:
                rows.add(row)
                index.add(_words(row))
            if counts.read % 1000 == 0:
                progress.update(1000)
    counts.image_shape = images.shape
    observe.count("corpus.rows_read", counts.read)


def _words(row: Row) -> str:
    """What says that two rows are alike: of images, that they are the same bytes."""
    return row.text if row.image is None else hashlib.sha256(row.image).hexdigest()


def _check_bad(config: Config, counts: Counts, observe: Observe) -> None:
    bad = sum(counts.bad.values())
    for reason, count in sorted(counts.bad.items()):
        observe.count("corpus.quarantined", count, reason=reason[:40])
    if bad:
        observe.log(
            "corpus.quarantined",
            f"{bad} of {counts.read} rows quarantined, the first at {counts.first_bad}",
            level="warning",
        )
    if bad > config.allowed_bad_share * counts.read:
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.bad.most_common(3))
        raise UserError(
            f"{bad} of {counts.read} rows cannot be used ({reasons}; the first: {counts.first_bad}): over "
            f"allowed_bad_share={config.allowed_bad_share}; mend the source, or allow more"
        )
    if counts.read == counts.short + bad:
        raise UserError(
            f"source {config.source!r}: no usable row among {counts.read} ({counts.short} shorter than "
            f"min_characters={config.min_characters}, {bad} quarantined)"
        )


def _write_splits(
    config: Config, source: Source, staging: Path, gone: Mask, output: Output, counts: Counts
) -> NDArray[np.int8]:
    """Write the rows that stay; which split each row is in (as a place in SPLITS, -1 for none)."""
    parts: NDArray[np.int8] = np.full(len(gone), -1, np.int8)
    # The label of a pair is a slice of the scores, not a class to learn: every row keeps its own.
    limit = 0 if source.content(config) == "pairs" else config.max_rows_per_label
    kept = _Labels(limit, staging, gone)
    with ExitStack() as stack:
        columns = columns_of(source.content(config))
        writers = {split: stack.enter_context(Writer(output.file(f"{split}.parquet"), columns)) for split in SPLITS}
        for number, values in _staged(staging, gone):
            row = Row(**values)
            if row.label is not None and not kept.keeps(row.label):
                counts.unlabelled_over_limit += 1  # it is text to pretrain on then
                row = replace(row, label=None)
            split = split_of(row.group or _words(row), config.seed, config.validation_share, config.test_share)
            parts[number] = SPLITS.index(split)
            writers[split].add(row)
            _count(row, split, source, counts)
    return parts


def _staged(staging: Path, gone: Mask, columns: list[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The staged rows that are not gone, each with its number."""
    number = 0
    with pq.ParquetFile(staging, pre_buffer=False) as file:
        for batch in file.iter_batches(1024, columns=columns):
            for values in batch.to_pylist():
                if not gone[number]:
                    yield number, values
                number += 1


class _Labels:
    """Says which rows of a class with more than `limit` rows keep their label: evenly from its first to its last."""

    def __init__(self, limit: int, staging: Path, gone: Mask) -> None:
        self._limit = limit
        self._total = Counter(row["label"] for _, row in _staged(staging, gone, ["label"])) if limit else Counter()
        self._seen: Counter[str] = Counter()

    def keeps(self, label: str) -> bool:
        """Whether the next row of this label keeps it."""
        seen, total = self._seen[label], self._total[label]
        self._seen[label] += 1
        if not self._limit or total <= self._limit:
            return True
        return (seen + 1) * self._limit // total > seen * self._limit // total


def _count(row: Row, split: str, source: Source, counts: Counts) -> None:
    counts.rows[split] += 1
    if row.image is None:
        counts.characters += len(row.text)
        counts.lengths[int(np.searchsorted(LENGTHS, len(row.text), side="right"))] += 1
    if row.label is not None:
        counts.labels[split][row.label] += 1
    if row.spans is not None:
        counts.spans[split].update(kind for _, _, kind in json.loads(row.spans))
    if source.leaks(row.text):
        counts.names_left += 1


def _check_splits(config: Config, source: Source, counts: Counts) -> None:
    for split in SPLITS:
        if not counts.rows[split]:
            total = sum(counts.rows.values())
            raise UserError(
                f"source {config.source!r}: the split {split} is empty ({total} rows in all); give more rows or another share"
            )
    # The label of a pair (its language, say) is nothing to be learnt: a split may lack it.
    labels = {} if source.content(config) == "pairs" else counts.labels
    for what, counted in (("row of label", labels), ("span of kind", counts.spans)):
        wanted = set().union(*counted.values())
        for split in SPLITS:
            missing = ", ".join(map(repr, sorted(wanted - set(counted.get(split, ())))[:5]))
            if missing:
                share = f", a larger {split}_share, or another seed" if split != "train" else ""
                raise UserError(
                    f"source {config.source!r}: no {what} {missing} in the split {split}; give more rows of it{share}"
                )
