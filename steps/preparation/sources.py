"""Where rows come from: what is embedded, the user's own files or folder of images, or a Hugging Face data set.

An embedded source is a file of `steps/preparation/embedded/` with an object `SOURCE`, an `Embedded`; its name is the file's.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from steps.preparation import files, huggingface, images
from steps.preparation.columns import Columns, Missing
from steps.preparation.reading import Absent, Reading
from steps.preparation.rows import Bad, Row
from steps.preparation.values import Numbers
from telemetry.redact import redact

if TYPE_CHECKING:
    from steps.prepare_data import Config
    from telemetry import Observe

Content = Literal["text", "pairs", "spans", "images"]


class Source:
    """The user's own files; other sources change what they must."""

    def __init__(self) -> None:
        self.numbers: Numbers | None = None  # shared by the sources of a corpus
        self.role = ""  # the split that this source is, where each split has one
        self.absent = Absent()

    def content(self, config: Config) -> Content:
        """What a row is: a text, a text and its target, a text with marked places, or an image."""
        return "pairs" if config.target_column else "spans" if config.spans_column else "text"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        """The rows, in the source's order, with the splits that the data brings."""
        reading = self.reading(config)
        self.absent = reading.absent
        try:
            yield from self.read(config, reading)
        except GeneratorExit:  # enough rows
            reading.absent.log(observe)
            raise
        reading.absent.log(observe)

    def read(self, config: Config, reading: Reading) -> Iterator[Row | Bad]:
        """The rows as the files have them."""
        yield from files.read(files.matching(config.source), reading.columns, reading)

    def reading(self, config: Config) -> Reading:
        """Options for the readers of this source's files."""
        numbers = self.numbers or Numbers(lambda column: self.values(config, column))
        return Reading(columns_of(config), config.quoting, numbers)

    def values(self, config: Config, column: str) -> Iterator[Any]:
        """All values of a column that can hold floats."""
        yield from files.values(files.matching(config.source), column)

    def missing(self, config: Config) -> list[Missing]:
        """Columns that files lack, as far as a quick look shows it."""
        return files.missing(files.matching(config.source), columns_of(config), config.quoting)

    def files(self, config: Config) -> list[Path]:
        """Files that the rows depend on: a fingerprint counts their content."""
        return files.matching(config.source)

    def packages(self, config: Config) -> list[str]:
        """Installed packages that the rows depend on."""
        return []

    def origin(self, config: Config) -> dict[str, Any]:
        """`source`, `license` and `parts` for the report and the model card."""
        # A path says nothing about the data, and would change the digest: its last part is enough.
        return {"source": Path(config.source).name, "license": redact(config.license) or "not stated", "parts": [],
                **self.absent.as_json()}  # fmt: skip

    def leaks(self, text: str) -> bool:
        """Whether a text gives away what is to be learnt from it."""
        return False


class Embedded(Source):
    """What comes with installed packages: no files of the user's."""

    def files(self, config: Config) -> list[Path]:
        return []

    def missing(self, config: Config) -> list[Missing]:
        return []


class HuggingFace(Source):
    """`hf:name`: a data set of the hub, or a local copy of one."""

    def read(self, config: Config, reading: Reading) -> Iterator[Row | Bad]:
        data = _data_set(config)
        for name, split in data.chosen(config.hf_split, self.role).items():
            for item in data.rows(name, reading):
                yield replace(item, split=split) if split and isinstance(item, Row) else item

    def values(self, config: Config, column: str) -> Iterator[Any]:
        data = _data_set(config)
        for name in data.chosen(config.hf_split, self.role):
            yield from data.values(name, column)

    def missing(self, config: Config) -> list[Missing]:
        return []  # to know it, the data set must be loaded

    def files(self, config: Config) -> list[Path]:
        local = Path(config.source.removeprefix("hf:"))
        return sorted(path for path in local.rglob("*") if path.is_file()) if local.is_dir() else []

    def origin(self, config: Config) -> dict[str, Any]:
        local = Path(config.source.removeprefix("hf:"))
        revision = f" at {config.hf_revision}" if config.hf_revision else ""
        return {**super().origin(config), "source": local.name if local.is_dir() else f"{config.source}{revision}"}


def _data_set(config: Config) -> huggingface.DataSet:
    return huggingface.DataSet(config.source.removeprefix("hf:"), config.hf_config, config.hf_revision)


class ImageFolder(Source):
    """A folder of images, in which each folder is a class."""

    def content(self, config: Config) -> Content:
        return "images"

    def read(self, config: Config, reading: Reading) -> Iterator[Row | Bad]:
        yield from images.read(config.source)

    def missing(self, config: Config) -> list[Missing]:
        return []

    def files(self, config: Config) -> list[Path]:
        return images.matching(config.source)


def embedded() -> list[str]:
    """Names of the embedded sources."""
    folder = Path(__file__).with_name("embedded")
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


def source_of(config: Config) -> Source:
    """The source that a config names. An embedded one goes before a folder of the same name."""
    given = {"train": config.source, "validation": config.validation, "test": config.test}
    if config.train or config.validation or config.test:
        from steps.preparation.several import Several

        alone = {"train": "", "validation": "", "test": ""}
        configs = {
            split: config.model_copy(update={**alone, "source": place}) for split, place in given.items() if place
        }
        return Several({split: (source_of(each), each) for split, each in configs.items()})
    if config.source in embedded():
        return cast(Source, importlib.import_module(f"steps.preparation.embedded.{config.source}").SOURCE)
    if config.source.startswith("hf:"):
        return HuggingFace()
    return ImageFolder() if Path(config.source).is_dir() else Source()


def distribution(name: str) -> dict[str, str]:
    """An installed distribution as a part of an `origin`: its name, version and license, as it states it."""
    about = metadata.metadata(name)
    told = about.json.get("license_expression") or about.json.get("license") or "see the package"
    return {"name": name, "version": metadata.version(name), "license": str(told).splitlines()[0][:80]}


def columns_of(config: Config) -> Columns:
    """Which columns of the user's rows hold what."""
    return Columns(
        config.text_column, config.label_column, config.group_column, config.target_column, config.spans_column,
        config.split_column, config.rows,
    )  # fmt: skip
