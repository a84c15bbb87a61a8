"""Stage the usable rows, drop duplicates, split, write and check."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from artifacts import atomic
from artifacts.corpus import SPLITS
from artifacts.errors import UserError
from steps.prepare_data import accounts
from steps.prepare_data.description import LENGTHS, Counts, description, summarize_changes
from steps.prepare_data.duplicates import KEPT, REASONS, Duplicates, Found
from steps.prepare_data.leaks import check_written, remove_repeats
from steps.prepare_data.near_duplicates import Index
from steps.prepare_data.rows import Row
from steps.prepare_data.source import Source
from steps.prepare_data.source_choice import source_of
from steps.prepare_data.splits import LABEL_REASONS, NONE, Plan, Rowset, plan
from steps.prepare_data.staging import Labels, check_bad, stage
from steps.prepare_data.writing import Writer, columns_of

if TYPE_CHECKING:
    from artifacts import Artifact, Output
    from steps.prepare_data.config import Config
    from telemetry import Observe


@dataclass
class _Work:
    """State that the phases share."""

    config: Config
    source: Source
    staging: Path
    index: Index
    counts: Counts
    labels: Labels

    @property
    def content(self) -> str:
        return self.source.content(self.config)


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Write a corpus into `output`. UserError when too many rows are bad, or a split would be of no use."""
    scratch = output.work / "preparation"
    shutil.rmtree(scratch, ignore_errors=True)  # a killed run's: reading starts again and ends with the same rows
    near = config.duplicates == "near" and config.near_duplicate_threshold < 1
    with observe.phase("open"):
        source = source_of(config)
        near &= source.content(config) != "images"
        opened = Index(scratch / "index", near=near, seed=config.seed)
    with opened as index:
        work = _Work(config, source, scratch / "rows.parquet", index, Counts(), Labels())
        with observe.phase("read"):
            stage(
                config,
                source,
                work.staging,
                output.file("quarantine.parquet"),
                index,
                work.labels,
                work.counts,
                observe,
            )
        check_bad(config, work.counts, observe)
        with observe.phase("deduplicate"):
            compared = Duplicates(index, config.duplicates, config.near_duplicate_threshold)
            found = compared.find(config.leaks, observe)
        with observe.phase("split"):
            planned = _plan_splits(work, found)
            remove_repeats(config, compared, found, planned, index.given_splits() > 0, work.staging, work.counts)
            _write_splits(work, found, planned, output)
        _check(work)
        del compared, found, planned  # some bytes a row each, which the check needs for itself
        with observe.phase("check"):
            check_written(output, work.content, work.counts)
    atomic.write_json(output.file("corpus.json"), description(config, source, work.counts))
    shutil.rmtree(scratch)
    _report(config, work.counts, output, observe)


def _plan_splits(work: _Work, found: Found) -> Plan:
    index, counts = work.index, work.counts
    rows = Rowset(
        found.out == KEPT,
        index.given_splits(),
        index.column("place"),
        np.array(work.labels.of_rows, np.int32),
        index.parts(),
        found.forest,
    )
    # The label of a pair (its language, say) is a slice of the scores, not a class to learn: a split may lack it.
    planned = plan(rows, work.config, work.labels.names, classes=work.content != "pairs")
    counts.given = [SPLITS[split] for split in np.unique(rows.given).tolist() if split >= 0]
    counts.conflicts = {name: n for name, n in found.conflicts.items() if work.content != "pairs" or name == "target"}
    counts.divided, counts.leaks, counts.repeated = planned.divided, found.leaks, found.repeated
    return planned


def _write_splits(work: _Work, found: Found, planned: Plan, output: Output) -> None:
    """Write the rows that stay, and count those that don't."""
    counts, leak = work.counts, dict.fromkeys(found.first_leak or (), "")
    with ExitStack() as stack:
        columns = columns_of(work.content)
        writers = {split: stack.enter_context(Writer(output.file(f"{split}.parquet"), columns)) for split in SPLITS}
        for number, values in _staged_rows(work.staging):
            row = Row(**values)
            if number in leak:
                leak[number] = row.id
            if found.out[number] != KEPT:
                reason = REASONS[found.out[number]]
                counts.rows_out.leave_out(reason, row.id)
                if row.label is not None:
                    counts.labels_out.leave_out(reason, row.id)
                continue
            if planned.lost[number] != NONE:
                counts.labels_out.leave_out(LABEL_REASONS[planned.lost[number]], row.id)
                row = replace(row, label=None)  # it is text to pretrain on then
            split = SPLITS[planned.parts[number]]
            writers[split].add(row)
            _count(row, split, work.source, counts)
    counts.first_leak = tuple(leak.values()) if leak else ("", "")  # type: ignore[assignment]


def _staged_rows(staging: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The staged rows, each with its number."""
    number = 0
    with pq.ParquetFile(staging, pre_buffer=False) as file:
        for batch in file.iter_batches(1024):
            for values in batch.to_pylist():
                yield number, values
                number += 1


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


def _check(work: _Work) -> None:
    """The law of conservation, and that each split is of use."""
    config, counts = work.config, work.counts
    kept, labels = sum(counts.rows.values()), sum(map(Counter.total, counts.labels.values()))
    accounts.check("rows", counts.read + counts.parts, kept, counts.rows_out)
    accounts.check("labels", counts.labels_read, labels, counts.labels_out)
    for split in SPLITS:
        if not counts.rows[split]:
            raise UserError(
                f"source {config.source!r}: the split {split} is empty ({kept} rows in all); give more rows or another share"
            )
    if counts.labels_read and not labels and work.content != "pairs":
        names = ", ".join(map(repr, sorted(work.labels.names)[:3]))
        raise UserError(
            f"source {config.source!r}: none of {len(work.labels.names):,} labels ({names} ...) has enough rows to be in every "
            "split; give more rows of each, a smaller min_rows_per_label, or another label_column"
        )


def _report(config: Config, counts: Counts, output: Output, observe: Observe) -> None:
    if line := summarize_changes(config, counts):
        observe.log("corpus.left_out", line, level="warning")
    for reason in REASONS[1:3]:
        observe.count("corpus.duplicates", counts.rows_out.out[reason], reason=reason.split()[0])
    observe.count("corpus.rows_divided", counts.parts)
    for name, account in (("corpus.rows_out", counts.rows_out), ("corpus.labels_out", counts.labels_out)):
        for reason, count in sorted(account.out.items()):
            observe.count(name, count, reason=reason[:40])
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
        duplicates=sum(counts.rows_out.out[reason] for reason in REASONS[1:3]),
    )
