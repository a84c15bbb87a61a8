"""The user's own text, CSV, TSV, JSON-lines and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.prepare_data import files
from steps.prepare_data.columns import Missing
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.source import FileSource, columns_of

if TYPE_CHECKING:
    from steps.prepare_data.config import Config


class OwnFiles(FileSource):
    """A path or a glob."""

    def read(self, config: Config, reading: Reading) -> Iterator[Row | Bad]:
        yield from files.read(files.matching(config.source), reading.columns, reading)

    def values(self, config: Config, column: str) -> Iterator[Any]:
        yield from files.values(files.matching(config.source), column)

    def missing(self, config: Config) -> list[Missing]:
        return files.missing(files.matching(config.source), columns_of(config), config.quoting)

    def files(self, config: Config) -> list[Path]:
        return files.matching(config.source)


SOURCE = OwnFiles
