"""The pins of requirements.lock: packages, each in one version, with the digests of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class LockError(Exception):
    """A lock that cannot be read: one line that names it and the remedy."""


@dataclass(frozen=True)
class Pin:
    """One package of the lock."""

    name: str
    version: str
    hashes: tuple[str, ...]  # sha256, hex, of each file that may be installed
    marker: str = ""  # where it is needed, as `sys_platform == "win32"`; empty for everywhere


def pins(lock: Path) -> list[Pin]:
    """Every package of a lock, by name. LockError if it is missing, or if one is not pinned with digests."""
    from pip_requirements_parser import RequirementsFile

    if not lock.is_file():
        raise LockError(f"{lock}: no such file; `make lock` writes it")
    try:
        read = RequirementsFile.from_file(str(lock))
    except (OSError, ValueError) as error:
        raise LockError(f"{lock}: cannot be read ({error}); `make lock` writes it") from None
    if read.invalid_lines:
        first = read.invalid_lines[0]
        raise LockError(f"{lock}: line {first.line_number} is no requirement; `make lock` writes it")
    packages = []
    for one in read.requirements:
        version = one.get_pinned_version
        hashes = tuple(
            sorted(text.partition(":")[2] for text in one.hash_options for text in [text.removeprefix("--hash=")])
        )
        if not version or not hashes:
            raise LockError(f"{lock}: {one.name or one.line} has no version with digests; `make lock` writes it")
        packages.append(Pin(str(one.name), str(version), hashes, str(one.marker or "")))
    if not packages:
        raise LockError(f"{lock}: names no package; `make lock` writes it")
    return sorted(packages, key=lambda pin: pin.name)
