"""sha256 of files, remembered while a file is certainly unchanged, so that planning need not read everything each time.

<home>/records/files.json      path -> [size, time of change, time of the inode's change, inode, device, sha256]

A time of change can be set (`touch -d`, archives, copies that keep times); that of the inode cannot, and a file that takes
the place of another has another inode. What was changed a moment ago is not remembered: within one tick of the file system's
clock it might change again without a trace. Entries of another form, as earlier releases wrote them, are not trusted.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from artifacts import atomic

_SETTLED = 2.0  # seconds; the coarsest clock of a usual file system
_MOST = 100_000  # files; the oldest entries go


@dataclass
class FileHashes:
    """The memory of one store. Call `keep` when done; entries that another process keeps meanwhile may be lost, and are hashed again."""

    path: Path
    _known: dict[str, list[int | str]] | None = None
    _new: dict[str, list[int | str]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> FileHashes:
        """The memory of the store at `root`."""
        return cls(root / "records" / "files.json")

    def sha256(self, path: Path) -> str:
        """Hex SHA-256 of a file's bytes, as they are now. OSError if it cannot be read."""
        if self._known is None:
            self._known = _read(self.path)
        name, before = str(path), _state(path)
        known = self._known.get(name)
        if known is not None and known[:-1] == before:
            return str(known[-1])
        digest = atomic.sha256(path)
        if _state(path) == before and time.time() - path.stat().st_ctime - _SETTLED >= 0:
            self._new[name] = self._known[name] = [*before, digest]
        return digest

    def keep(self) -> None:
        """Save the new hashes."""
        if self._new:
            merged = {**_read(self.path), **self._new}
            atomic.write_json(self.path, dict(list(merged.items())[-_MOST:]))
            self._new = {}


def _state(path: Path) -> list[int | str]:
    status = os.stat(path)  # noqa: PTH116 - of the file that a link leads to
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _read(path: Path) -> dict[str, list[int | str]]:
    try:
        found = atomic.read_json(path)
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: entry for name, entry in found.items() if isinstance(entry, list) and len(entry) == 6}
