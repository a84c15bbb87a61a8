"""Where rows come from: what is embedded, the user's own files or folder of images, or a Hugging Face data set.

An embedded source is a file of `steps/preparation/embedded/` with an object `SOURCE`, an `Embedded`; its name is the file's.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from steps.preparation import files, huggingface, images
from steps.preparation.rows import Bad, Row
from telemetry.redact import redact

if TYPE_CHECKING:
    from steps.prepare_data import Config
    from telemetry import Observe

Content = Literal["text", "pairs", "spans", "images"]


class Source:
    """The user's own files; other sources change what they must."""

    def content(self, config: Config) -> Content:
        """What a row is: a text, a text and its target, a text with marked places, or an image."""
        return "pairs" if config.target_column else "spans" if config.spans_column else "text"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        """The rows, in the source's order."""
        yield from files.read(files.matching(config.source), columns_of(config))

    def files(self, config: Config) -> list[Path]:
        """Files that the rows depend on: a fingerprint counts their content."""
        return files.matching(config.source)

    def packages(self, config: Config) -> list[str]:
        """Installed packages that the rows depend on."""
        return []

    def origin(self, config: Config) -> dict[str, Any]:
        """`source`, `license` and `parts` for the report and the model card."""
        # A path says nothing about the data, and would change the digest: its last part is enough.
        return {"source": Path(config.source).name, "license": redact(config.license) or "not stated", "parts": []}

    def leaks(self, text: str) -> bool:
        """Whether a text gives away what is to be learnt from it."""
        return False


class Embedded(Source):
    """What comes with installed packages: no files of the user's."""

    def files(self, config: Config) -> list[Path]:
        return []


class HuggingFace(Source):
    """`hf:name`: a data set of the hub, or a local copy of one."""

    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        name = config.source.removeprefix("hf:")
        yield from huggingface.read(name, config.hf_config, config.hf_split, columns_of(config))

    def files(self, config: Config) -> list[Path]:
        local = Path(config.source.removeprefix("hf:"))
        return sorted(path for path in local.rglob("*") if path.is_file()) if local.is_dir() else []

    def origin(self, config: Config) -> dict[str, Any]:
        local = Path(config.source.removeprefix("hf:"))
        return {**super().origin(config), "source": local.name if local.is_dir() else config.source}


class ImageFolder(Source):
    """A folder of images, in which each folder is a class."""

    def content(self, config: Config) -> Content:
        return "images"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        yield from images.read(config.source)

    def files(self, config: Config) -> list[Path]:
        return images.matching(config.source)


def embedded() -> list[str]:
    """Names of the embedded sources."""
    folder = Path(__file__).with_name("embedded")
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


def source_of(config: Config) -> Source:
    """The source that a config names. An embedded one goes before a folder of the same name."""
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


def columns_of(config: Config) -> files.Columns:
    """Which columns of the user's rows hold what."""
    return files.Columns(
        config.text_column, config.label_column, config.group_column, config.target_column, config.spans_column
    )
