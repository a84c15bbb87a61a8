"""Dependencies of `prepare_data` outside its inputs: the user's files, installed packages, and the readers of its sources."""

from __future__ import annotations

from pathlib import Path

from steps.prepare_data.columns import refuse_missing
from steps.prepare_data.config import Config
from steps.prepare_data.source_choice import source_modules, source_of


def files(config: Config) -> list[Path]:
    """Files of the user's that are read."""
    return source_of(config).files(config)


def packages(config: Config) -> list[str]:
    """Installed packages whose docstrings or tables are the data."""
    return source_of(config).packages(config)


def modules(config: Config) -> list[str]:
    """Modules of the sources that the config names."""
    return source_modules(config)


def check(config: Config) -> None:
    """UserError that names every column that the files lack, as far as a quick look shows it."""
    refuse_missing(source_of(config).missing(config))
