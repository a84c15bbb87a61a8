"""The interface of a source of rows, and the parts that several sources share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from redaction import redact
from steps.prepare_data.columns import Columns, Missing
from steps.prepare_data.reading import Absent, Reading
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.values import Numbers

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from steps.prepare_data.images import Uniform
    from telemetry import Observe

Content = Literal["text", "pairs", "spans", "images"]


class Source(ABC):
    """Rows, the files and packages that they come from, and their origin."""

    def __init__(self) -> None:
        self.numbers: Numbers | None = None  # shared by the sources of a corpus
        self.role = ""  # the split that this source is, where each split has one
        self.absent = Absent()

    def content(self, config: Config) -> Content:
        """Kind of a row: a text, a text and its target, a text with marked places, or an image."""
        return "pairs" if config.target_column else "spans" if config.spans_column else "text"

    @abstractmethod
    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        """The rows, in the source's order, with the splits that the data brings."""

    def values(self, config: Config, column: str) -> Iterator[Any]:
        """All values of a column that can hold floats."""
        yield from ()

    def missing(self, config: Config) -> list[Missing]:
        """Columns that files lack, as far as a quick look shows it."""
        return []

    def files(self, config: Config) -> list[Path]:
        """Files that the rows depend on: a fingerprint counts their content."""
        return []

    def packages(self, config: Config) -> list[str]:
        """Installed packages that the rows depend on."""
        return []

    def origin(self, config: Config) -> dict[str, Any]:
        """`source`, `license` and `parts` for the report and the model card."""
        # A path says nothing about the data, and would change the digest: its last part is enough.
        return {
            "source": Path(config.source).name,
            "license": redact(config.license) or "not stated",
            "parts": [],
            **self.absent.as_json(),
        }

    def images(self, config: Config) -> Uniform | None:
        """Brings the images of the rows to one size and mode; None for rows without images."""
        return None

    def leaks(self, text: str) -> bool:
        """Whether a text gives away its own label."""
        return False


class FileSource(Source):
    """A source whose rows readers take from files."""

    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        numbers = self.numbers or Numbers(lambda column: self.values(config, column))
        reading = Reading(columns_of(config), config.quoting, numbers)
        self.absent = reading.absent
        try:
            yield from self.read(config, reading)
        except GeneratorExit:  # enough rows
            reading.absent.log(observe)
            raise
        reading.absent.log(observe)

    @abstractmethod
    def read(self, config: Config, reading: Reading) -> Iterator[Row | Bad]:
        """The rows as the files have them."""


def distribution(name: str) -> dict[str, str]:
    """An installed distribution as a part of an `origin`: its name, version and license, as it states it."""
    about = metadata.metadata(name)
    licence = about.json.get("license_expression") or about.json.get("license") or "see the package"
    return {"name": name, "version": metadata.version(name), "license": str(licence).splitlines()[0][:80]}


def columns_of(config: Config) -> Columns:
    """Columns of the user's rows by role."""
    return Columns(
        config.text_column,
        config.label_column,
        config.group_column,
        config.target_column,
        config.spans_column,
        config.split_column,
        config.rows,
    )
