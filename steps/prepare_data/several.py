"""A source for each split of a corpus: `train`, and others for validation, test or both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import UserError
from steps.prepare_data.columns import Missing
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.source import Content, Source
from steps.prepare_data.values import Numbers

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from steps.prepare_data.images import Uniform
    from telemetry import Observe


class Several(Source):
    """A source for train and others for validation or test; ids begin with the split."""

    def __init__(self, parts: dict[str, tuple[Source, Config]]) -> None:
        super().__init__()
        self._parts = parts
        for split, (source, _) in parts.items():
            source.role = split
            source.numbers = Numbers(
                lambda column: (value for one, each in parts.values() for value in one.values(each, column))
            )

    def content(self, config: Config) -> Content:
        contents = {source.content(each) for source, each in self._parts.values()}
        if len(contents) > 1:
            raise UserError(f"train, validation and test are of several kinds: {', '.join(sorted(contents))}", 2)
        return contents.pop()

    def rows(self, config: Config, observe: Observe) -> Iterator[Row | Bad]:
        # Those for training come last, so that max_rows cuts none but these.
        for split, (source, each) in reversed(self._parts.items()):
            for item in source.rows(each, observe):
                if len(self._parts) == 1:
                    yield item
                elif isinstance(item, Row):
                    yield replace(item, id=f"{split}/{item.id}", split=split)
                else:
                    yield replace(item, place=f"{split}/{item.place}")
            self.absent.merge(source.absent, f"{split}/" if len(self._parts) > 1 else "")

    def images(self, config: Config) -> Uniform | None:
        source, each = next(iter(self._parts.values()))
        return source.images(each)

    def values(self, config: Config, column: str) -> Iterator[Any]:
        for source, each in self._parts.values():
            yield from source.values(each, column)

    def missing(self, config: Config) -> list[Missing]:
        return [found for source, each in self._parts.values() for found in source.missing(each)]

    def files(self, config: Config) -> list[Path]:
        return [path for source, each in self._parts.values() for path in source.files(each)]

    def packages(self, config: Config) -> list[str]:
        return [name for source, each in self._parts.values() for name in source.packages(each)]

    def origin(self, config: Config) -> dict[str, Any]:
        origins = {split: source.origin(each) for split, (source, each) in self._parts.items()}
        named = ", ".join(f"{origin['source']} ({split})" for split, origin in origins.items())
        parts = [part for origin in origins.values() for part in origin["parts"]]
        return {**origins["train"], "source": named, "parts": parts, **self.absent.as_json()}
