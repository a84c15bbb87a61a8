"""A data set of the Hugging Face hub, or a local copy of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.prepare_data import huggingface
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.source import FileSource

if TYPE_CHECKING:
    from steps.prepare_data.config import Config


class HuggingFace(FileSource):
    """`hf:name`. Its columns are known only once it is loaded, so `missing` finds none."""

    def read(self, config: Config, reading: Reading) -> Iterator[Row | Bad]:
        data = _data_set(config)
        for name, split in data.splits_to_read(config.hf_split, self.role).items():
            for item in data.rows(name, reading):
                yield replace(item, split=split) if split and isinstance(item, Row) else item

    def values(self, config: Config, column: str) -> Iterator[Any]:
        data = _data_set(config)
        for name in data.splits_to_read(config.hf_split, self.role):
            yield from data.values(name, column)

    def files(self, config: Config) -> list[Path]:
        local = Path(config.source.removeprefix("hf:"))
        return sorted(path for path in local.rglob("*") if path.is_file()) if local.is_dir() else []

    def origin(self, config: Config) -> dict[str, Any]:
        local = Path(config.source.removeprefix("hf:"))
        revision = f" at {config.hf_revision}" if config.hf_revision else ""
        return {**super().origin(config), "source": local.name if local.is_dir() else f"{config.source}{revision}"}


def _data_set(config: Config) -> huggingface.DataSet:
    return huggingface.DataSet(config.source.removeprefix("hf:"), config.hf_config, config.hf_revision)


SOURCE = HuggingFace
