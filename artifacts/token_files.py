"""Token files: the rows of a corpus as numbers, made once, and read by every training after.

<home>/tokens/<key>/tokens.json    what they were made from, the types of the arrays, each file's size and sha256
<home>/tokens/<key>/<array>        numbers, one file an array

A cache and no artifact: no digest or fingerprint covers it, and what is removed or damaged is made again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artifacts import atomic
from artifacts import manifest as manifests
from artifacts.manifest import ManifestError

INFO = "tokens.json"
_FIELDS = {"about": dict, "arrays": dict, "files": dict, "digest": str}


class DamagedTokensError(Exception):
    """Token files that are not as they were written: one line that names the file."""


def folder_of(root: Path, key: str) -> Path:
    """The folder of the token files with this key."""
    return root / "tokens" / key


def folders(root: Path) -> list[Path]:
    """All token files of a store, damaged ones included."""
    return sorted(path for path in (root / "tokens").glob("*") if not path.name.startswith("."))


def leftovers(root: Path) -> list[Path]:
    """Unfinished folders: of a process that was killed, or of one that is at work."""
    return sorted((root / "tokens").glob(".*"))


def read(folder: Path, *, check: bool = True) -> dict[str, Any]:
    """The description of token files; with `check`, each file's sha256 is compared with it.

    FileNotFoundError if there are none, DamagedTokensError if they are not as they were written.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        info = manifests.read(folder / INFO)
        manifests.check_fields(info, _FIELDS)
        if info["digest"] != _digest(info):
            raise ManifestError("changed since it was made")
        manifests.check_files(info["files"])
        if check:
            manifests.check_contents(folder, info["files"], atomic.sha256)
    except FileNotFoundError:
        raise DamagedTokensError(f"{folder / INFO}: missing") from None
    except (ManifestError, OSError) as error:
        shown = str(error) if str(folder) in str(error) else f"{folder / INFO}: {error}"
        raise DamagedTokensError(shown) from None
    return info


@contextmanager
def replacement(folder: Path, about: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give a temporary folder for the arrays and a mapping for their description; on leaving, the finished folder takes the
    place of `folder`. The caller holds the lock of its key."""
    for unfinished in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    temporary, arrays = folder.with_name(f".{folder.name}.{os.getpid()}.tmp"), dict[str, Any]()
    try:
        temporary.mkdir(parents=True)
        yield temporary, arrays
        files = {}
        for path in sorted(temporary.iterdir()):
            atomic.sync(path)
            files[path.name] = {"sha256": atomic.sha256(path), "bytes": path.stat().st_size}
        info = {"about": dict(about), "arrays": arrays, "files": files}
        atomic.write_json(temporary / INFO, info | {"digest": _digest(info)})
        remove(folder)
        temporary.rename(folder)
        atomic.sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove(folder: Path) -> None:
    """Remove a folder in one moment, if it exists: a reader finds all of it or nothing."""
    gone = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _digest(info: Mapping[str, Any]) -> str:
    return atomic.digest_of([info["about"], info["arrays"], info["files"]])
