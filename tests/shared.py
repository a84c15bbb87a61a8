"""Things that take long to make: one worker makes each, and all take copies."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

FOLDER = "TESTS_SHARED_FOLDER"  # the variable that names it to all workers; see conftest.py


def shared_folder(name: str) -> Path:
    """A place in the folder that all workers of one run of the tests share."""
    return Path(os.environ[FOLDER]) / name


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep other workers waiting while one makes this folder."""
    with folder.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def copy_empty_store(folder: Path) -> None:
    """A copy of a new tracking store of MLflow's in `folder`, unless it has one: making its tables takes seconds."""
    if (folder / "mlflow.db").exists():
        return
    empty = shared_folder("empty")
    with lock(empty):
        if not (empty / "mlflow.db").exists():
            _make_empty_store(empty)
    shutil.copyfile(empty / "mlflow.db", folder / "mlflow.db")
    rename_folder(folder / "mlflow.db", empty, folder)


def _make_empty_store(folder: Path) -> None:
    folder.mkdir()
    code = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1]).search_experiments()"
    environment = os.environ | {
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "mlruns"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-c", code, f"sqlite:///{folder}/making.db"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    (folder / "making.db").rename(folder / "mlflow.db")


def rename_folder(database: Path, old: Path, new: Path) -> None:
    """Name another folder wherever a database of SQLite names this one."""
    with closing(sqlite3.connect(database)) as store, store:
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, *_ in store.execute(f'PRAGMA table_info("{table}")').fetchall():
                store.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                    f'WHERE typeof("{column}") = \'text\' AND instr("{column}", ?)',
                    (str(old), str(new), str(old)),
                )
