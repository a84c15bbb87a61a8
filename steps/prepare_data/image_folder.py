"""A folder of images, in which each folder is a class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steps.prepare_data import images
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.source import Content, FileSource

if TYPE_CHECKING:
    from steps.prepare_data.config import Config


class ImageFolder(FileSource):
    """A folder of images, in which each folder is a class."""

    def content(self, config: Config) -> Content:
        return "images"

    def read(self, config: Config, reading: Reading) -> Iterator[Row | Bad]:
        yield from images.read(config.source)

    def images(self, config: Config) -> images.Uniform:
        return images.Uniform(config)

    def files(self, config: Config) -> list[Path]:
        return images.matching(config.source)


SOURCE = ImageFolder
