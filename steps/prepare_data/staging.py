"""The first pass over a source: rows that can be used are cleaned, divided if they are long, indexed and kept on disk."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import UserError
from steps.prepare_data.accounts import SHORT
from steps.prepare_data.documents import Parts
from steps.prepare_data.rows import Bad, Row, clean_row
from steps.prepare_data.writing import QUARANTINE, Writer, columns_of

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from steps.prepare_data.description import Counts
    from steps.prepare_data.images import Uniform
    from steps.prepare_data.near_duplicates import Index
    from steps.prepare_data.source import Source
    from telemetry import Observe


class Labels:
    """The label of each row as a number, -1 for none."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.of_rows = array("i")

    def add(self, label: str | None) -> None:
        """The next row's."""
        self.of_rows.append(-1 if label is None else self._numbers.setdefault(label, len(self._numbers)))

    @property
    def names(self) -> list[str]:
        """The label of each number."""
        return list(self._numbers)


def stage(
    config: Config, source: Source, staging: Path, quarantine: Path, index: Index, labels: Labels, counts: Counts,
    observe: Observe,
) -> None:  # fmt: skip
    """Read the source to its end, or to `max_rows` usable rows."""
    images, parts = source.images(config), Parts(config.max_characters, config.long_texts)
    usable, unfinished = 0, ""  # the text that goes on in the next row
    with (
        Writer(staging, columns_of(source.content(config))) as rows,
        Writer(quarantine, QUARANTINE) as set_aside,
        observe.progress("rows", None, "rows") as progress,
    ):
        for item in source.rows(config, observe):
            goes_on = isinstance(item, Row) and item.id == unfinished
            if config.max_rows and usable >= config.max_rows and not goes_on:
                break
            counts.read += not goes_on
            row = _usable(item, images, config, counts, goes_on=goes_on)
            if isinstance(row, Bad):
                counts.bad[row.reason] += 1
                counts.first_bad = counts.first_bad or f"{row.place}: {row.reason}"
                counts.rows_out.leave_out(row.reason, row.place)
                set_aside.add(row)
            elif row is not None:
                unfinished = row.id if row.more else ""
                usable += not goes_on
                counts.parts -= not goes_on
                for part in parts.of(row):
                    counts.parts += 1
                    rows.add(part)
                    index.add(part)
                    labels.add(part.label)
            if counts.read % 1000 == 0:
                progress.update(1000)
    counts.image_shape = images.shape if images else None
    counts.cut, counts.split = parts.cut, parts.split
    observe.count("corpus.rows_read", counts.read)


def _usable(
    item: Row | Bad, images: Uniform | None, config: Config, counts: Counts, *, goes_on: bool
) -> Row | Bad | None:
    """The row, cleaned; None if it is too short; its label is counted, kept or lost."""
    if isinstance(item, Bad):
        return item
    row: Row | Bad = images.row(item) if images and item.image is not None else item
    row = clean_row(row, item.id, goes_on=goes_on) if isinstance(row, Row) else row
    counts.labels_read += item.label is not None
    reason = row.reason if isinstance(row, Bad) else SHORT if _too_short(row, config, goes_on=goes_on) else ""
    if reason and item.label is not None:
        counts.labels_out.leave_out(reason, item.id)
    if reason == SHORT:
        counts.rows_out.leave_out(SHORT, item.id)
        return None
    return row


def _too_short(row: Row, config: Config, *, goes_on: bool) -> bool:
    """A published validation or test split stays whole, however short its texts."""
    exempt = row.image is not None or goes_on or row.more or row.split in ("validation", "test")
    return not exempt and len(row.text) < config.min_characters


def check_bad(config: Config, counts: Counts, observe: Observe) -> None:
    """UserError when more rows than allowed are bad, or none is left."""
    bad = sum(counts.bad.values())
    for reason, count in sorted(counts.bad.items()):
        observe.count("corpus.quarantined", count, reason=reason[:40])
    if bad > config.allowed_bad_share * counts.read:
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.bad.most_common(3))
        raise UserError(
            f"{bad} of {counts.read} rows cannot be used ({reasons}; the first: {counts.first_bad}): over "
            f"allowed_bad_share={config.allowed_bad_share}; fix the source, or raise allowed_bad_share"
        )
    short = counts.rows_out.out[SHORT]
    if counts.read == short + bad:
        raise UserError(
            f"source {config.source!r}: no usable row among {counts.read} ({short} shorter than "
            f"min_characters={config.min_characters}, {bad} quarantined)"
        )
