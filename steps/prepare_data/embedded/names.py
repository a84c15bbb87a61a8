"""`names`: docstrings, and the names that they are to be found by; see `steps/prepare_data/names.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from steps.prepare_data import names
from steps.prepare_data.embedded.docs import Docs
from steps.prepare_data.rows import Row
from steps.prepare_data.source import Content

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from telemetry import Observe


class Names(Docs):
    """The docstrings of `docs` that have a public name, without it; their targets are the names in words."""

    def content(self, config: Config) -> Content:
        return "pairs"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row]:
        yield from names.read(config.libraries, config.threads, observe)


SOURCE = Names
