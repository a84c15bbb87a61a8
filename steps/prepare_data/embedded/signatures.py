"""`signatures`: docstrings with their parameters, types and values marked; see `steps/prepare_data/signatures.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from steps.prepare_data import signatures
from steps.prepare_data.embedded.docs import Docs
from steps.prepare_data.rows import Row
from steps.prepare_data.source import Content

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from telemetry import Observe


class Signatures(Docs):
    """The docstrings of `docs` that belong to a function with parameters, unmasked: a library's name is no secret here."""

    def content(self, config: Config) -> Content:
        return "spans"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row]:
        yield from signatures.read(config.libraries, config.threads, observe)

    def leaks(self, text: str) -> bool:
        return False


SOURCE = Signatures
