"""The store: which artifact a fingerprint stands for, the work in progress, and the locks that keep two runs apart.

<home>/records/<step>/<fingerprint>.json   one finished node: its fingerprint's parts, its artifact, what it cost
<home>/work/<key>/                          what a running step keeps for its rerun (checkpoints)
<home>/locks/<key>                          held (flock) by the one process that works on that key
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts import atomic, locks
from artifacts.artifact import Artifact, ArtifactError, open_artifact
from artifacts.file_hashes import FileHashes
from artifacts.home import home
from artifacts.manifest import ManifestError, check_name


@dataclass(frozen=True)
class Store:
    """The user's artifacts, and records of how they were made."""

    root: Path

    @classmethod
    def default(cls) -> Store:
        """The store under `GLASSFORMER_HOME`."""
        return cls(home())

    def records(self, step: str) -> list[dict[str, Any]]:
        """All finished nodes of a step, newest last."""
        records = [_read(path) for path in sorted((self.root / "records" / step).glob("*.json"))]
        return sorted((record for record in records if record), key=lambda record: str(record["finished_at"]))

    def record(self, step: str, fingerprint: str) -> dict[str, Any] | None:
        """The finished node with this fingerprint, or None."""
        return _read(self._record_path(step, fingerprint))

    def keep(self, record: Mapping[str, Any]) -> None:
        """Remember a finished node; a forced rerun replaces the earlier record."""
        atomic.write_json(self._record_path(record["step"], record["fingerprint"]), dict(record))

    def artifact(
        self, record: Mapping[str, Any], *, check: bool, sha256: Callable[[Path], str] = atomic.sha256
    ) -> Artifact:
        """The artifact a record speaks of; ArtifactError if it is gone or changed."""
        path, kind = self.root / record["artifact"]["path"], record["artifact"]["kind"]
        if not path.exists():
            raise ArtifactError(f"{path}: gone; run its pipeline again, which makes it again")
        if path.is_symlink():
            raise ArtifactError(f"{path}: a link, where the folder was; run its pipeline again, which makes it again")
        artifact = open_artifact(path, kind, check=check, sha256=sha256)
        if artifact.digest != record["artifact"]["digest"]:
            raise ArtifactError(f"{path}: another artifact than its record says; run its pipeline again")
        return artifact

    def find(self, kind: str, digest: str) -> Artifact | None:
        """The newest intact artifact with this digest, or None if it is gone."""
        hashes = FileHashes.of(self.root)
        for folder in sorted((self.root / "artifacts" / kind).glob(f"{digest[:16]}-*"), reverse=True):
            with suppress(ArtifactError):
                artifact = open_artifact(folder, kind, sha256=hashes.sha256)
                if artifact.digest == digest:
                    hashes.keep()
                    return artifact
        return None

    def path_of(self, artifact: Artifact) -> str:
        """An artifact's path relative to the store (a store may be moved)."""
        return artifact.path.relative_to(self.root).as_posix()

    def work(self, key: str) -> Path:
        """The folder that a rerun of the same work finds again."""
        return self.root / "work" / key

    def forget_work(self, key: str) -> None:
        """Remove work kept for a rerun, once there is nothing to rerun."""
        shutil.rmtree(self.work(key), ignore_errors=True)

    def lock(self, key: str, on_wait: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Hold the lock of `key`; `on_wait` is called once if another process has it."""
        return locks.hold(self.root / "locks" / key, on_wait)

    def tidy(self, step: str, fingerprint: str) -> None:
        """Remove the lock and the work of a process that was killed after it had kept its record.

        What a process holds is its own; what a forced rerun has written since is there for the next one.
        """
        lock, work = self.root / "locks" / fingerprint, self.work(fingerprint)
        if not lock.exists() and not work.exists():
            return
        with locks.hold_if_free(lock) as free:
            kept_at = self._record_path(step, fingerprint).stat().st_mtime
            if free and all(file.stat().st_mtime <= kept_at for file in work.rglob("*") if file.is_file()):
                self.forget_work(fingerprint)

    def _record_path(self, step: str, fingerprint: str) -> Path:
        return self.root / "records" / step / f"{fingerprint}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = atomic.read_json(path)
    except (OSError, ValueError):
        return None  # written in one rename, so a damaged record means a damaged disk: the node runs again
    artifact = record.get("artifact") if isinstance(record, dict) else None
    if not isinstance(artifact, dict) or not all(
        isinstance(artifact.get(key), str) for key in ("path", "digest", "kind")
    ):
        return None
    try:
        check_name(artifact["path"])  # a record may come from another user's backup: it names a folder of this store
    except ManifestError:
        return None
    return record
