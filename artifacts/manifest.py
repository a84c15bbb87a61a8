"""Manifests as a stranger may have written them: read within bounds, and each name in them a plain file of their own folder.

A digest is not a signature: anyone who changes a manifest can recompute it. So every field is checked before it is used.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_MOST_BYTES = 256 << 20  # of a manifest: a backup of a million files has about that
_LONGEST_NAME, _LONGEST_PART = 4000, 255  # bytes, of Linux


class ManifestError(Exception):
    """The problem, without the place and the remedy."""


def read(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. FileNotFoundError if there is no such file, ManifestError if it holds anything else."""
    try:
        text = _bytes_of(path).decode()
        value = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except RecursionError:
        raise ManifestError("nested too deeply") from None
    except (OSError, ValueError) as error:  # JSON's and UTF-8's are ValueErrors
        linked = isinstance(error, OSError) and error.errno == errno.ELOOP
        raise ManifestError("is a link" if linked else str(getattr(error, "strerror", None) or error)) from None
    if not isinstance(value, dict):
        raise ManifestError("is no JSON object")
    return value


def _bytes_of(path: Path) -> bytes:
    """The bytes of a plain file. A pipe or a device is not waited for, and a link not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ManifestError("is no plain file")
        if about.st_size > _MOST_BYTES:
            raise ManifestError(f"is larger than {_MOST_BYTES >> 20} MB")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MOST_BYTES)
    finally:
        os.close(descriptor)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has {next(name for name in names if names.count(name) > 1)!r} twice")
    return mapping


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def check_fields(manifest: Mapping[str, Any], fields: Mapping[str, type]) -> None:
    """ManifestError for a field that is missing or of another type."""
    for name, kind in fields.items():
        if name not in manifest:
            raise ManifestError(f"has no {name!r}")
        if not isinstance(manifest[name], kind) or (kind is int and isinstance(manifest[name], bool)):
            raise ManifestError(f"{name!r} is no {kind.__name__}")


def check_files(files: Mapping[str, Any]) -> None:
    """ManifestError for a name that is no file of the folder, or an entry without sha256 and size."""
    for name, entry in files.items():
        check_name(name)
        if not isinstance(entry, dict):
            raise ManifestError(f"the entry of {name!r} is no object")
        try:
            check_fields(entry, {"sha256": str, "bytes": int})
        except ManifestError as error:
            raise ManifestError(f"the entry of {name!r}: {error}") from None


def check_name(name: str) -> None:
    """ManifestError for a name that could stand for anything but one file below a folder."""
    shown = repr(name if len(name) <= 100 else f"{name[:100]}...")
    try:
        size = len(name.encode())
        longest = max((len(part.encode()) for part in name.split("/")), default=0)
    except UnicodeEncodeError:
        raise ManifestError(f"names {shown}, which is no UTF-8") from None
    if size > _LONGEST_NAME or longest > _LONGEST_PART:
        raise ManifestError(f"names {shown}, which is too long")
    if (
        "\0" in name
        or name != PurePosixPath(name).as_posix()
        or name == "."
        or ".." in name.split("/")
        or name[0] == "/"
    ):
        raise ManifestError(f"names {shown}, which is no file of its folder")


def hub_blobs(folder: Path) -> tuple[Path, ...]:
    """Targets of a hub cache snapshot's links: `models--X/snapshots/<commit>/` holds links to `models--X/blobs/`."""
    return (folder.resolve().parent.parent / "blobs",) if folder.resolve().parent.name == "snapshots" else ()


def plain_file(folder: Path, name: str, also: tuple[Path, ...] = ()) -> Path:
    """The file of this name, once it is sure to be a plain one below `folder` (or `also`), links followed.

    FileNotFoundError if it does not exist.
    """
    path = folder / name
    try:
        place = path.resolve(strict=True)
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except (OSError, RuntimeError, ValueError) as error:  # Python 3.11 has a RuntimeError for a loop of links
        raise ManifestError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if not any(place.is_relative_to(root) for root in (folder.resolve(), *also)):
        raise ManifestError("is a link that leads out of its folder")
    if not stat.S_ISREG(mode):
        raise ManifestError("is no plain file")
    return path


def check_contents(folder: Path, files: Mapping[str, Mapping[str, Any]], sha256: Callable[[Path], str]) -> None:
    """ManifestError names the first file that is missing, no plain file, or not the one that the manifest lists."""
    for name, entry in files.items():
        try:
            file = plain_file(folder, name)
        except FileNotFoundError:
            raise ManifestError(f"{folder / name}: missing, though the manifest lists it") from None
        except ManifestError as error:
            raise ManifestError(f"{folder / name}: {error}") from None
        if file.stat().st_size != entry["bytes"] or sha256(file) != entry["sha256"]:
            raise ManifestError(f"{file}: changed since it was made (sha256 differs)")


def check_links(folder: Path, also: tuple[Path, ...] = ()) -> None:
    """ManifestError for anything below a folder that leads out of it (and of `also`), or is neither file nor folder."""
    roots = (folder.resolve(), *also)
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() and not any(_resolve(path).is_relative_to(root) for root in roots):
                raise ManifestError(f"{relative!r} is a link that leads out of its folder")
            if not path.is_symlink() and not path.is_dir() and not path.is_file():
                raise ManifestError(f"{relative!r} is no plain file")


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError:  # of Python 3.11, for links that lead to each other: they lead nowhere
        return path.parent.resolve() / path.name
