"""Rows that a test has, as a source of prepare_data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from artifacts.corpus import SPLITS, Corpus
from steps.prepare_data import run as prepare_run
from steps.prepare_data.config import Config
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.source import Content, Source
from telemetry import Observe
from tests.prepared import prepare


class Rows(Source):
    """These rows, in their order."""

    def __init__(self, rows: Sequence[Row | Bad], content: Content = "text") -> None:
        super().__init__()
        self._rows, self._content = rows, content

    def content(self, config: Config) -> Content:
        return self._content

    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        yield from self._rows


def prepared(root: Path, rows: Sequence[Row | Bad], content: Content = "text", **options: object) -> Corpus:
    """A corpus of these rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_run, "source_of", lambda config: Rows(rows, content))
        return Corpus(prepare(root, "rows", **{"min_characters": 1, **options}))


def ids(made: Corpus) -> dict[str, list[str]]:
    """The ids of each split."""
    return {split: [row["id"] for row in made.rows(split, ["id"])] for split in SPLITS}
