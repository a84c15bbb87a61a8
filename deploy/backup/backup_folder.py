"""A backup's folder: files with a manifest of their sha256, written under a temporary name and renamed when whole.

<backup>/manifest.json          schema, when, the store's kind and revision, where things lay, files (sha256, bytes), digest
<backup>/store.sqlite           MLflow's store: a sqlite database, or `store.pgdump`, pg_dump's custom format
<backup>/artifacts/<n>/...      MLflow's artifacts, a folder for each experiment
<backup>/home/{artifacts,records,runs}/...
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from artifacts import atomic
from artifacts import manifest as manifests
from artifacts.manifest import ManifestError

SCHEMA = 1
MANIFEST = "manifest.json"
_PIECE = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
COUNTED = {"runs": "runs", "model versions": "model_versions", "aliases": "registered_model_aliases"}  # name -> table
_FIELDS = {
    "made_at": str, "store": str, "revision": str, "counts": dict, "base": str, "home": str, "checkout": str,
    "tracking_uri": str, "artifacts": list, "paths": list, "files": dict,
}  # fmt: skip
Files = dict[str, dict[str, Any]]


class BackupError(Exception):
    """An error that the user can fix: one line with the problem and the remedy."""


@dataclass(frozen=True)
class Backup:
    """A backup whose manifest was read."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def files(self) -> Files:
        """Name -> sha256, bytes."""
        files: Files = self.manifest["files"]
        return files

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(int(entry["bytes"]) for entry in self.files.values())

    def under(self, folder: str) -> Files:
        """The files below a folder of the backup, by their name in it."""
        start = f"{folder}/"
        return {name.removeprefix(start): entry for name, entry in self.files.items() if name.startswith(start)}


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` on leaving; leftovers of a killed run are removed first."""
    if path.exists():
        raise BackupError(f"{path} is there already; give another --name")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(".*.making"):
        if (pid := left.name.split(".")[-2]).isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.making")
    new.mkdir(mode=0o700)  # whatever was recorded is in there
    try:
        yield new
        os.sync()  # thousands of small files: once, and not for each
        new.rename(path)
        atomic.sync(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def full_disk_explained(where: Path) -> Iterator[None]:
    """Turn a full disk and an unwritable folder into a BackupError with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise BackupError(
                f"{where}: no space left on the disk; make room or choose another place, then again"
            ) from error
        raise


def check_room(where: Path, needed: int) -> None:
    """BackupError when the disk that holds `where` cannot take so many bytes."""
    there = next(path for path in (where, *where.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise BackupError(
            f"{where}: no space left on the disk: {needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free; "
            "make room or choose another place, then again"
        )


def bytes_under(folder: Path) -> int:
    """Bytes of a folder whose files may come and go meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(place) / name).lstat().st_size
    return total


def copy_tree(source: Path, target: Path, left_out: list[str]) -> Files:
    """Copy a folder that may change meanwhile. Incomplete files and links are left out; links are returned."""
    files: Files = {}
    for place, folders, names in os.walk(source):
        for name in [name for name in folders if (Path(place) / name).is_symlink()]:
            left_out.append(f"{Path(place) / name} (a link)")
        for name in sorted(names):
            path = Path(place) / name
            if path.is_symlink() or not path.is_file():
                left_out.append(f"{path} (not a plain file)")
            elif not name.endswith(".tmp"):
                relative = path.relative_to(source).as_posix()
                try:
                    files[relative] = copy_file(path, target / relative)
                except FileNotFoundError:
                    continue  # cleared away meanwhile: nothing needs it
    return files


def copy_file(source: Path, target: Path) -> dict[str, Any]:
    """Copy one file with mode and times. Returns the sha256 and size of the copy."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as read:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as written:
            while piece := read.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                written.write(piece)
    shutil.copystat(source, target)
    return {"sha256": digest.hexdigest(), "bytes": size}


def entry_of(file: Path) -> dict[str, Any]:
    """The sha256 and size of a file."""
    return {"sha256": atomic.sha256(file), "bytes": file.stat().st_size}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write it with a digest of itself, so that a changed byte in it is found as well."""
    whole = {**manifest, "schema": SCHEMA}
    atomic.write_json(folder / MANIFEST, whole | {"digest": atomic.digest_of(whole)})


def open_backup(path: Path) -> Backup:
    """Read a backup's manifest. BackupError when there is none, it was changed, or a newer version wrote it."""
    try:
        manifest = manifests.read(path / MANIFEST)
        manifests.check_fields(manifest, {"digest": str, "schema": int})
        digest, schema = manifest.pop("digest"), manifest["schema"]
    except FileNotFoundError:
        raise BackupError(
            f"{path}: no backup here (no {MANIFEST}); `python -m deploy.backup list` lists them"
        ) from None
    except ManifestError as error:
        raise BackupError(f"{path / MANIFEST}: damaged ({error}); use another backup") from None
    if schema > SCHEMA:
        raise BackupError(
            f"{path}: written by a newer Glassformer (schema {schema}, this one reads {SCHEMA}); update it first"
        )
    if digest != atomic.digest_of(manifest):
        raise BackupError(f"{path / MANIFEST}: changed since the backup was made; use another backup")
    try:
        _check_manifest(manifest)
    except ManifestError as error:
        raise BackupError(f"{path / MANIFEST}: {error}; use another backup") from None
    return Backup(path, manifest)


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """ManifestError for a field that is missing, and for a name or a folder that is not of the backup."""
    manifests.check_fields(manifest, _FIELDS)
    manifests.check_files(manifest["files"])
    manifests.check_fields(manifest["counts"], dict.fromkeys(COUNTED, int))
    for entry in manifest["artifacts"]:
        if not isinstance(entry, dict):
            raise ManifestError("'artifacts' must hold objects only")
        manifests.check_fields(entry, {"folder": str, "path": str})
        manifests.check_name(entry["folder"])
        if not entry["folder"].startswith("artifacts/"):
            raise ManifestError(f"{entry['folder']!r} is no folder of artifacts")
    for name in ("base", "home", "checkout", *(entry["path"] for entry in manifest["artifacts"] if entry["path"])):
        place = manifest.get(name, name)
        if not place.startswith("/") or os.path.normpath(place) != place or "\0" in place:
            raise ManifestError(f"{place[:200]!r} is no absolute path")
    for pair in manifest["paths"]:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise ManifestError("'paths' must hold pairs of a table and a column")


def check(backup: Backup) -> None:
    """Compare every file with the manifest. BackupError names the first that differs."""
    try:
        manifests.check_contents(backup.path, backup.files, atomic.sha256)
    except ManifestError as error:
        raise BackupError(f"{error}; use another backup") from None
