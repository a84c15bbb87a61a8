"""Locations of the parts of a backup, found from the environment as MLflow and our own programs do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from artifacts.home import base, home, use_default_store
from deploy.backup.backup_folder import BackupError
from deploy.backup.compose import COMPOSE, Volume
from deploy.backup.postgres import PostgresStore
from deploy.backup.sqlite import SqliteStore
from redaction import redact

# Of our home; not `work` and `locks` (a rerun makes the same bytes without), `outbox` (what it sent would be sent again)
# and `stack` (the backends' own data).
HOME_PARTS = ("artifacts", "records", "runs")
# Where MLflow's store names folders of artifacts.
_PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
Store = SqliteStore | PostgresStore


@dataclass(frozen=True)
class Places:
    """The store of MLflow's runs, a server's own artifacts, and our home."""

    store: Store
    home: Path
    served: Path | Volume | None = None  # what stands behind `mlflow-artifacts:`
    tracking_uri: str = ""  # as the environment has it

    @property
    def base(self) -> Path:
        """The folder that moves when everything moves: the store's, or ours."""
        return self.store.file.resolve().parent if isinstance(self.store, SqliteStore) else base()


def places(served: Path | None, compose: bool) -> Places:
    """The locations that the environment names. BackupError if they cannot be backed up from here."""
    use_default_store()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    registry = os.environ.get("MLFLOW_REGISTRY_URI", "")
    if registry and registry != uri:
        raise BackupError(
            "MLFLOW_REGISTRY_URI names another store than MLFLOW_TRACKING_URI; back up each with it alone set"
        )
    if compose:
        return Places(COMPOSE, home(), Volume(), uri)
    return Places(_store(uri), home(), served.expanduser().resolve() if served else None, uri)


def _store(uri: str) -> Store:
    if not uri or uri.startswith("sqlite:///"):
        file = Path((uri or "sqlite:///mlflow.db").removeprefix("sqlite:///").partition("?")[0]).absolute()
        if not uri and not file.exists() and any(Path("mlruns").glob("*/meta.yaml")):
            raise BackupError(
                "mlruns/ is MLflow's old store of files; `mlflow migrate-filestore` makes a database of it first"
            )
        return SqliteStore(file)
    if uri.startswith(("postgresql:", "postgresql+", "postgres:")):
        return PostgresStore.of(uri)
    shown = redact(uri)
    if uri.startswith(("http:", "https:")):
        raise BackupError(
            f"MLFLOW_TRACKING_URI={shown} is a server: set it to the server's own --backend-store-uri, "
            "or add --compose (make: COMPOSE=1) where docker compose runs it"
        )
    raise BackupError(f"MLFLOW_TRACKING_URI={shown}: only sqlite and PostgreSQL can be backed up here")


def local_path(uri: str) -> Path | None:
    """The folder that an artifact location names on this machine, None for a remote one."""
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    return Path(uri) if uri.startswith("/") else None


def path_columns(columns: set[tuple[str, str]]) -> list[list[str]]:
    """Table and column of each place that names folders, of those that this store has."""
    return [list(pair) for pair in _PATHS if pair in columns]


def relocate(path: Path, bases: Iterable[tuple[Path, Path]]) -> Path:
    """The new path of a folder under the first base that contains it; the path itself if none does."""
    for old, new in bases:
        if path.is_relative_to(old):
            return new / path.relative_to(old)
    return path


def statements(schema: str, columns: Sequence[Sequence[str]], moved: Iterable[tuple[Path, Path]]) -> list[str]:
    """SQL that gives each place in the store the new name of its folder. The same for sqlite and PostgreSQL."""
    found = []
    for old, new in moved:
        for before, after in ((str(old), str(new)), (old.as_uri(), new.as_uri())):
            for table, column in columns:
                if not (table.isidentifier() and column.isidentifier()):
                    raise BackupError(f"the manifest names no table and column ({table}, {column}); use another backup")
                found.append(
                    f'UPDATE "{schema}"."{table}" SET "{column}" = {_quote(after)} || substr("{column}", {len(before) + 1}) '  # noqa: S608 - identifiers, quoted
                    f'WHERE "{column}" = {_quote(before)} OR substr("{column}", 1, {len(before) + 1}) = {_quote(before + "/")}'
                )
    return found


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
