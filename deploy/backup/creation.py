"""Make a backup, even while runs write: the store first, then the files, so that every file in the store's records exists."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from artifacts.artifact import git_commit
from artifacts.home import base
from deploy.backup.backup_folder import (
    COUNTED,
    Backup,
    BackupError,
    Files,
    bytes_under,
    check_room,
    copy_tree,
    entry_of,
    full_disk_explained,
    making,
    open_backup,
    write_manifest,
)
from deploy.backup.compose import Volume
from deploy.backup.locations import HOME_PARTS, Places, local_path, path_columns
from deploy.backup.restoration import journal_of
from redaction import redact


def create(places: Places, target: Path) -> Backup:
    """Write a backup to the folder `target`, which must not be there. BackupError leaves nothing behind."""
    if journal_of(places.home).exists():
        raise BackupError("a restore was cut short: `make restore` goes on with it; back up after that")
    with full_disk_explained(target), making(target) as new:
        store = places.store
        dump = new / store.name
        store.dump(dump)
        files: Files = {store.name: entry_of(dump)}
        left_out: list[str] = []
        folders = _artifacts(places, dump, new, files, left_out)
        for part in reversed(HOME_PARTS):  # a run and a record speak of artifacts that are there already
            if (places.home / part).is_dir():
                _take(places.home / part, f"home/{part}", new, files, left_out)
        columns = store.columns(dump)
        counts = {
            label: int(store.rows(f"SELECT count(*) FROM {name}", dump)[0][0])  # noqa: S608 - names of ours
            for label, name in COUNTED.items()
        }
        write_manifest(new, {
            "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": git_commit(), "store": store.kind,
            "revision": _revision(places, dump), "counts": counts, "base": str(places.base), "home": str(places.home),
            "checkout": str(base()),
            "tracking_uri": redact(places.tracking_uri), "artifacts": folders, "paths": path_columns(columns),
            "left_out": left_out, "files": files,
        })  # fmt: skip
    return open_backup(target)


def _artifacts(places: Places, dump: Path, new: Path, files: Files, left_out: list[str]) -> list[dict[str, Any]]:
    """Copy the artifacts of each experiment. Returns folder in the backup and path of each; path "" is a server's own artifacts."""
    artifacts: list[dict[str, Any]] = []
    locations = places.store.rows("SELECT DISTINCT artifact_location FROM experiments ORDER BY 1", dump)
    if any(uri.startswith("mlflow-artifacts:") for (uri,) in locations):
        if places.served is None:
            raise BackupError(
                "a server keeps the artifacts of these runs (mlflow-artifacts:); name its --artifacts-destination by --artifacts FOLDER"
            )
        artifacts.append({"folder": "artifacts/served", "path": ""})
        if isinstance(places.served, Volume):
            places.served.fetch(new / "artifacts" / "served")
            _note(new, "artifacts/served", files)
        else:
            _take(places.served, "artifacts/served", new, files, left_out)
    paths = sorted({path for (uri,) in locations if (path := local_path(uri))})
    for path in paths:
        if any(path != other and path.is_relative_to(other) for other in paths):
            continue  # a part of another's folder
        folder = f"artifacts/{len(artifacts)}"
        artifacts.append({"folder": folder, "path": str(path)})
        if path.is_dir():
            _take(path, folder, new, files, left_out)
    left_out += [
        f"{redact(uri)} (remote)"
        for (uri,) in locations
        if ":" in uri and not uri.startswith(("file:", "mlflow-artifacts:"))
    ]
    return artifacts


def _take(source: Path, folder: str, new: Path, files: Files, left_out: list[str]) -> None:
    check_room(new, bytes_under(source))
    files |= {f"{folder}/{name}": entry for name, entry in copy_tree(source, new / folder, left_out).items()}


def _note(new: Path, folder: str, files: Files) -> None:
    files |= {
        file.relative_to(new).as_posix(): entry_of(file) for file in sorted((new / folder).rglob("*")) if file.is_file()
    }


def _revision(places: Places, dump: Path) -> str:
    return places.store.rows("SELECT version_num FROM alembic_version", dump)[0][0]
