"""MLflow's store in a sqlite file: a consistent copy while others write, and its restore."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.backup.backup_folder import BackupError, copy_file, full_disk_explained

_WAIT = 30.0  # seconds for a writer that holds the database
_JOURNALS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class SqliteStore:
    """The database at `file`, which need not exist."""

    file: Path
    kind = "sqlite"
    name = "store.sqlite"
    schema = "main"

    @property
    def address(self) -> str:
        return str(self.file)

    def is_filled(self) -> bool:
        """Whether there is something that a restore would take the place of."""
        return self.file.exists()

    def dump(self, target: Path) -> None:
        """Copy the database as it is at one moment, by sqlite's own backup; writers wait or continue."""
        if not self.file.is_file():
            raise BackupError(f"{self.file}: no MLflow store here; check MLFLOW_TRACKING_URI, or run something first")
        with _explain_errors(self.file), full_disk_explained(target), _reading(self.file) as source:
            with closing(sqlite3.connect(target)) as copy:
                # All of it in one step: a copy in steps restarts at each write of others.
                source.backup(copy, progress=_patience(), sleep=0.02)
            with closing(sqlite3.connect(target)) as copy:
                verdict = copy.execute("PRAGMA quick_check").fetchone()[0]
        if verdict != "ok":
            raise BackupError(
                f"{self.file}: the database is damaged ({verdict}); repair it, or restore an earlier backup"
            )

    def rows(self, query: str, dump: Path | None = None) -> list[list[str]]:
        """The rows of a query, as text; from the copy `dump` if one is given."""
        file = dump or self.file
        with _explain_errors(file), _reading(file) as read:
            return [["" if value is None else str(value) for value in row] for row in read.execute(query)]

    def columns(self, dump: Path | None = None) -> set[tuple[str, str]]:
        """Every table with each of its columns."""
        query = "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'"
        return {(table, column) for table, column in self.rows(query, dump)}

    def check_unused(self) -> None:
        """BackupError when a process has the file open: it would go on with the old file, and lose its writes."""
        names = {str(self.file.resolve()), *(f"{self.file.resolve()}{end}" for end in _JOURNALS)}
        for process in psutil.process_iter():
            try:
                uses = any(one.path in names for one in process.open_files())
                command = " ".join(" ".join(process.cmdline()).split())[:80] if uses else ""
            except psutil.Error:
                continue
            if uses:
                raise BackupError(f"{self.file} is used by process {process.pid} ({command}); stop it, then restore")

    def stage(self, dump: Path, staged: Path, statements: Sequence[str]) -> None:
        """A copy next to the store, with `statements` applied, ready to be renamed."""
        with full_disk_explained(staged), _explain_errors(staged):
            copy_file(dump, staged)
            with closing(sqlite3.connect(staged)) as copy, copy:
                for statement in statements:
                    copy.execute(statement)

    def moves(self, staged: Path, stamp: str) -> list[tuple[Path, Path]]:
        """The renames that put a staged copy in its place, and the old file aside with its journals."""
        aside = self.file.with_name(f"{self.file.name}.before-{stamp}")
        old = [(Path(f"{self.file}{end}"), Path(f"{aside}{end}")) for end in ("", *_JOURNALS)]
        return [pair for pair in old if pair[0].exists()] + [(staged, self.file)]


def _patience() -> Callable[[int, int, int], None]:
    """Called after each attempt: sqlite's backup would ask a database that is held for ever."""
    until = time.monotonic() + _WAIT

    def progress(status: int, remaining: int, total: int) -> None:
        if status != sqlite3.SQLITE_DONE and time.monotonic() > until:
            raise sqlite3.OperationalError("database is locked")

    return progress


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT)) as connection:
        yield connection


@contextmanager
def _explain_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise BackupError(
                f"{file}: another process holds it for longer than {_WAIT:.0f} s; wait for it, then again"
            ) from error
        if "full" in str(error):
            raise BackupError(f"{file}: no space left on the disk ({error}); make room, then again") from error
        raise BackupError(f"{file}: {error}; check MLFLOW_TRACKING_URI and the rights of the file") from error
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{file}: {error}; it is damaged or no sqlite database: check MLFLOW_TRACKING_URI") from error
