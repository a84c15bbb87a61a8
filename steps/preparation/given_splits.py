"""Splits that the data brings: their names, and what is drawn where one of them is not given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from steps.contract import UserError
from steps.preparation.rows import Bad, Row
from steps.preparation.split import split_of

if TYPE_CHECKING:
    from steps.prepare_data import Config

SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "development": "validation", "test": "test", "testing": "test",
}  # fmt: skip


def given_split(name: str) -> str | None:
    """The split of a name as data sets write it, in any case; None if it is none."""
    return SPLIT_NAMES.get(name.strip().lower())


def completed(rows: Iterable[Row | Bad], given: Collection[str], config: Config) -> Iterator[Row | Bad]:
    """Rows with the splits that the data brings; a split that it does not bring is drawn from train by its share.

    A given test set stays as it is: no row of train is drawn into it, nor into a given validation set.
    """
    if "train" not in given:
        raise UserError(f"source {config.source!r}: only {', '.join(sorted(given)) or 'no rows'}, nothing to train on")
    validation = 0.0 if "validation" in given else config.validation_share
    test = 0.0 if "test" in given else config.test_share
    for item in rows:
        if isinstance(item, Row) and item.split == "train" and (validation or test):
            if validation and test:
                yield replace(item, split=None)
            else:
                key = item.group or " ".join(item.text.split())
                yield replace(item, split=split_of(key, config.seed, validation, test))
        else:
            yield item


def described(given: Collection[str]) -> str:
    """Which splits the data brings, and which are drawn, as one line."""
    drawn = [split for split in ("validation", "test") if split not in given]
    own = ", ".join(split for split in ("train", "validation", "test") if split in given)
    return f"splits of the data: {own}" + (f"; drawn from train: {', '.join(drawn)}" if drawn else "")
