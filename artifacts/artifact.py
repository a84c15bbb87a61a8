"""An artifact: a folder with a `manifest.json`, written whole or not at all, and checked when it is read.

<home>/artifacts/<kind>/<digest, 16 digits>-<when made>/
    manifest.json      kind, schema, digest, files (sha256, bytes), parents, lineage, counts, git commit
    ...                content: what the digest is over
    sidecars/...       pages, times, costs, trace ids: checked when read, but no part of the digest
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artifacts import atomic
from artifacts import manifest as manifests
from artifacts.home import CHECKOUT, INSTALLED, home
from artifacts.manifest import ManifestError

SCHEMA = 1
KINDS = ("corpus", "tokenizer", "checkpoint", "report", "model_version")
_MANIFEST = "manifest.json"
_SIDECARS = "sidecars"
_FIELDS = {"kind": str, "schema": int, "digest": str, "files": dict, "sidecars": dict, "counts": dict, "lineage": list}
_REMEDY = "run its pipeline again, which makes it again"


class ArtifactError(Exception):
    """An artifact that cannot be read or written: one line that names the file and the remedy."""


@dataclass(frozen=True)
class Artifact:
    """A finished artifact. `digest` is the hex SHA-256 of its content alone."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def digest(self) -> str:
        return str(self.manifest["digest"])

    @property
    def counts(self) -> Mapping[str, int | float]:
        counts: Mapping[str, int | float] = self.manifest["counts"]
        return counts

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """Itself and all it was made from, oldest first: kind, digest, step, parents (input name -> digest)."""
        lineage: list[dict[str, Any]] = list(self.manifest["lineage"])
        return lineage

    def file(self, name: str) -> Path:
        """A content file by its name, e.g. `train.parquet`; ArtifactError when the manifest has none such."""
        if name not in self.manifest["files"]:
            raise ArtifactError(f"{self.path}: no file {name!r} in this {self.kind}; it has {', '.join(self.files())}")
        return self.path / name

    def files(self) -> list[str]:
        """Names of the content files."""
        return sorted(self.manifest["files"])

    def sidecar(self, name: str) -> Path:
        """An optional file outside the content (`report.html`, `times.json`)."""
        return self.path / _SIDECARS / name


@dataclass
class Output:
    """An artifact in the making. Content goes to `file(name)`, what must not count for the digest to `sidecar(name)`.

    `work` is a folder that outlives a kill: a rerun of the same node finds there what the killed one left
    (checkpoints). It is removed once the artifact is finished.
    """

    kind: str
    work: Path
    step: str = ""
    counts: dict[str, int | float] = field(default_factory=dict)
    parents: dict[str, Artifact] = field(default_factory=dict)
    root: Path = field(default_factory=home)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of artifact {self.kind!r}; known: {', '.join(KINDS)}")
        self.work.mkdir(parents=True, exist_ok=True)
        self.path = self.work / "artifact.tmp"
        shutil.rmtree(self.path, ignore_errors=True)  # left by a killed run: start over
        self.path.mkdir()

    def file(self, name: str) -> Path:
        """Path for a content file; its folder is created."""
        return self._with_parent(self.path / name)

    def sidecar(self, name: str) -> Path:
        """Path for a file outside the digest; its folder is created."""
        return self._with_parent(self.path / _SIDECARS / name)

    def commit(self) -> Artifact:
        """Hash, fsync, verify and rename: from here on the artifact is there for every reader."""
        content: dict[str, dict[str, Any]] = {}
        sidecars: dict[str, dict[str, Any]] = {}
        for path in sorted(path for path in self.path.rglob("*") if path.is_file()):
            atomic.sync(path)
            name = path.relative_to(self.path).as_posix()
            entry = {"sha256": atomic.sha256(path), "bytes": path.stat().st_size}
            (sidecars if name.startswith(f"{_SIDECARS}/") else content)[name] = entry
        if not content:
            raise ArtifactError(f"{self.step or self.kind}: nothing was written, so there is no {self.kind} to keep")
        digest = content_digest(self.kind, content)
        parents = {name: {"kind": parent.kind, "digest": parent.digest} for name, parent in self.parents.items()}
        manifest = {
            "kind": self.kind, "schema": SCHEMA, "digest": digest, "files": content, "sidecars": sidecars,
            "counts": self.counts, "parents": parents, "lineage": self._lineage(digest), "step": self.step,
            "commit": git_commit(), "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }  # fmt: skip
        atomic.write_json(self.path / _MANIFEST, manifest)
        for folder in [self.path, *(path for path in self.path.rglob("*") if path.is_dir())]:
            atomic.sync(folder)
        open_artifact(self.path, self.kind)
        final = (
            self.root / "artifacts" / self.kind / f"{digest[:16]}-{time.strftime('%Y%m%d%H%M%S')}{uuid.uuid4().hex[:4]}"
        )
        final.parent.mkdir(parents=True, exist_ok=True)
        self.path.rename(final)
        atomic.sync(final.parent)
        return Artifact(final, manifest)

    def _with_parent(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _lineage(self, digest: str) -> list[dict[str, Any]]:
        known: dict[str, dict[str, Any]] = {}
        for parent in self.parents.values():
            known.update({entry["digest"]: entry for entry in parent.lineage})
        parents = {name: parent.digest for name, parent in self.parents.items()}
        return [*known.values(), {"kind": self.kind, "digest": digest, "step": self.step, "parents": parents}]


def content_digest(kind: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest of an artifact: over its kind, schema and the name and sha256 of each content file."""
    return atomic.digest_of([kind, SCHEMA, {name: entry["sha256"] for name, entry in files.items()}])


def open_artifact(
    path: str | Path, kind: str | None = None, *, check: bool = True, sha256: Callable[[Path], str] = atomic.sha256
) -> Artifact:
    """Open the artifact at `path`. With `check`, the sha256 of each of its files is compared with the manifest's.

    Raises ArtifactError, naming the file, when it is missing, of another kind or schema, or changed since it was made.
    """
    path = Path(path)
    try:
        manifest = _read_manifest(path)
    except (FileNotFoundError, ValueError):  # a path with NUL in it
        raise ArtifactError(f"{path}: no artifact here (no {_MANIFEST}); give the folder that a step printed") from None
    except ManifestError as error:
        raise ArtifactError(f"{path / _MANIFEST}: damaged ({error}); {_REMEDY}") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read as an artifact ({error.strerror}); {_REMEDY}") from None
    found, schema = manifest["kind"], manifest["schema"]
    if kind is not None and found != kind:
        raise ArtifactError(f"{path}: a {found}, where a {kind} is needed")
    if schema != SCHEMA:
        raise ArtifactError(f"{path}: written under schema {schema}, this version reads {SCHEMA}; {_REMEDY}")
    if check:
        try:
            _check_files(path, {**manifest["files"], **manifest["sidecars"]}, sha256)
        except OSError as error:
            raise ArtifactError(f"{error.filename or path}: cannot be read ({error.strerror}); {_REMEDY}") from None
        if content_digest(found, manifest["files"]) != manifest["digest"]:
            raise ArtifactError(f"{path / _MANIFEST}: its digest is not that of its files; {_REMEDY}")
    return Artifact(path, manifest)


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest, checking its fields and that names stay inside its folder. ManifestError describes the fault."""
    manifest = manifests.read(path / _MANIFEST)
    manifests.check_fields(manifest, _FIELDS)
    if manifest["schema"] == SCHEMA:
        for name in ("files", "sidecars"):
            manifests.check_files(manifest[name])
            for file in manifest[name]:
                if file == _MANIFEST or file.startswith(f"{_SIDECARS}/") != (name == "sidecars"):
                    raise ManifestError(f"names {file!r} among its {name}")
        for entry in manifest["lineage"]:
            if not isinstance(entry, dict):
                raise ManifestError("'lineage' must hold objects only")
            manifests.check_fields(entry, {"kind": str, "digest": str, "step": str, "parents": dict})
        for name, count in manifest["counts"].items():
            if not isinstance(count, int | float):
                raise ManifestError(f"'counts' holds {name!r}, which is no number")
    return manifest


def _check_files(path: Path, files: Mapping[str, Mapping[str, Any]], sha256: Callable[[Path], str]) -> None:
    try:
        manifests.check_contents(path, files, sha256)
    except ManifestError as error:
        raise ArtifactError(f"{error}; {_REMEDY}") from None
    try:
        manifests.check_links(path)  # also of what the manifest does not list: nothing is read through one
    except ManifestError as error:
        raise ArtifactError(f"{path}: {error}; {_REMEDY}") from None


def git_commit() -> str | None:
    """The checkout's commit, with `+changes` when files differ from it; or None if git cannot say."""
    if INSTALLED:
        return None  # a repository around it is another's
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
