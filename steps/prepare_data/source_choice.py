"""The module of a source, by the config: an embedded one, the user's files or folder of images, or a Hugging Face data set.

A source is a module with a class `SOURCE`; the embedded ones are the modules of `embedded/`. Modules are named here and loaded
by name, so that a reader that has no part in a corpus has none in its fingerprint.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from steps.prepare_data.source import Source

_PACKAGE = "steps.prepare_data"


def embedded_sources() -> list[str]:
    """Names of the embedded sources."""
    folder = Path(__file__).with_name("embedded")
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


def source_of(config: Config) -> Source:
    """The source that a config names; several of them where splits have their own."""
    parts = _parts(config)
    if not parts:
        return _load(_module_of(config.source))
    from steps.prepare_data.several import Several

    return Several({split: (source_of(each), each) for split, each in parts.items()})


def source_modules(config: Config) -> list[str]:
    """Modules that `source_of` loads."""
    parts = _parts(config)
    if not parts:
        return [_module_of(config.source)]
    return [f"{_PACKAGE}.several", *(_module_of(each.source) for each in parts.values())]


def _parts(config: Config) -> dict[str, Config]:
    """The config of each split that has a source of its own; {} if all come from one."""
    if not (config.train or config.validation or config.test):
        return {}
    sources = {"train": config.source, "validation": config.validation, "test": config.test}
    alone = dict.fromkeys(sources, "")
    return {split: config.model_copy(update={**alone, "source": source}) for split, source in sources.items() if source}


def _module_of(source: str) -> str:
    """An embedded source goes before a folder of the same name."""
    if source in embedded_sources():
        return f"{_PACKAGE}.embedded.{source}"
    if source.startswith("hf:"):
        return f"{_PACKAGE}.hub"
    return f"{_PACKAGE}.image_folder" if Path(source).is_dir() else f"{_PACKAGE}.own_files"


def _load(module: str) -> Source:
    return cast("Source", importlib.import_module(module).SOURCE())
