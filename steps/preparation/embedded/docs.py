"""`docs`: the docstrings of the packages installed with us; see `steps/preparation/docstrings.py`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.preparation import docstrings
from steps.preparation.rows import Row
from steps.preparation.sources import Content, Source
from telemetry.redact import redact

if TYPE_CHECKING:
    from steps.prepare_data import Config
    from telemetry import Observe


class Docs(Source):
    """Docstrings, labelled by their library."""

    def content(self, config: Config) -> Content:
        return "text"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row]:
        yield from docstrings.read(config.libraries, config.threads, observe)

    def files(self, config: Config) -> list[Path]:
        return []

    def packages(self, config: Config) -> list[str]:
        return sorted(set(docstrings.libraries(config.libraries).values()) - {""})

    def origin(self, config: Config) -> dict[str, Any]:
        parts = []
        for name in self.packages(config):
            about = metadata.metadata(name)
            told = about.json.get("license_expression") or about.json.get("license") or "see the package"
            license_text = str(told).splitlines()[0]
            parts.append({"name": name, "version": metadata.version(name), "license": license_text[:80]})
        return {
            "source": "docstrings of installed packages",
            "license": redact(config.license) or "each package's own",
            "parts": parts,
        }

    def leaks(self, text: str) -> bool:
        return docstrings.leaks(text)


SOURCE = Docs()
