"""The files of a registered model version: where they lie, and the digests by which they are known again.

    MLmodel, model.py        MLflow's description, and the file that it runs
    code/                    our packages, as they were when it was registered
    artifacts/checkpoint/    config, settings, tokenizer, weights
    artifacts/recorded/      a few questions with its answers, and what its data looked like (tasks/self_check.py)

The version's tags `glassformer.<part>` hold the digests of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from artifacts import atomic
from artifacts.artifact import content_digest

CODE, CHECKPOINT, RECORDED = "code", "artifacts/checkpoint", "artifacts/recorded"
NEEDED = ("model.py", CODE, CHECKPOINT)  # versions of earlier times have no `recorded`
ANSWERS = f"{RECORDED}/recorded.json"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model, with its files in a folder of this disk."""

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]
    folder: Path

    def tag(self, name: str) -> str:
        """The value of one of our tags, or the empty string."""
        return self.tags.get(f"glassformer.{name}", "")

    def changed_parts(self) -> list[str]:
        """Parts that differ from their registration: checkpoint, code, recorded answers."""
        return changed_parts(self.folder, self.tags)


def missing(folder: Path) -> list[str]:
    """Required files that the version lacks."""
    return [name for name in NEEDED if not (folder / name).exists()]


def changed_parts(folder: Path, tags: Mapping[str, str]) -> list[str]:
    """Parts that differ from their registration. Parts without a digest among the tags are not compared."""
    parts = {"checkpoint": checkpoint_digest, "code": code_digest, "recorded": recorded_digest}
    digests = {name: tags.get(f"glassformer.{name}", "") for name in parts}
    return [name for name, digest in parts.items() if digests[name] and digests[name] != digest(folder)]


def checkpoint_digest(folder: Path) -> str:
    """Digest of the checkpoint's files, computed like an artifact's."""
    return content_digest("checkpoint", _sums(folder / CHECKPOINT))


def code_digest(folder: Path) -> str:
    """Digest of the code: its packages and the file that MLflow runs."""
    sums = {f"{CODE}/{name}": entry["sha256"] for name, entry in _sums(folder / CODE).items()}
    return atomic.digest_of({**sums, "model.py": atomic.sha256(folder / "model.py")})


def recorded_digest(folder: Path) -> str:
    """Digest of the recorded answers and data profile."""
    return atomic.sha256(folder / ANSWERS) if (folder / ANSWERS).is_file() else ""


def bytes_of(folder: Path) -> int:
    """Digest of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and _counts(path))


def _sums(folder: Path) -> dict[str, dict[str, str]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and _counts(path))
    return {path.relative_to(folder).as_posix(): {"sha256": atomic.sha256(path)} for path in paths}


def _counts(path: Path) -> bool:
    """Python's own cache comes and goes."""
    return path.suffix != ".pyc"
