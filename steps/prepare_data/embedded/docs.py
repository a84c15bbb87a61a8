"""`docs`: the docstrings of the packages installed with us; see `steps/prepare_data/docstrings.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from redaction import redact
from steps.prepare_data import docstrings
from steps.prepare_data.rows import Row
from steps.prepare_data.source import Content, Source, distribution

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from telemetry import Observe


class Docs(Source):
    """Docstrings, labelled by their library."""

    def content(self, config: Config) -> Content:
        return "text"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row]:
        yield from docstrings.read(config.libraries, config.threads, observe)

    def packages(self, config: Config) -> list[str]:
        return sorted(set(docstrings.libraries(config.libraries).values()) - {""})

    def origin(self, config: Config) -> dict[str, Any]:
        return {
            "source": "docstrings of installed packages",
            "license": redact(config.license) or "each package's own",
            "parts": [distribution(name) for name in self.packages(config)],
        }

    def leaks(self, text: str) -> bool:
        return docstrings.leaks(text)


SOURCE = Docs
