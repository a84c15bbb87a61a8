"""Garbage collection: find artifacts that nothing needs any more.

Needed are: the artifact of the newest record of each node of each pipeline (the next plan would find it), the inputs of
registered model versions, and artifacts made or used by the last runs and by runs in progress. Token files are needed while
their corpus is, for a week after a training read them.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from artifacts import atomic, token_files
from artifacts.artifact import ArtifactError, open_artifact
from artifacts.runs import RUNNING, all_runs
from artifacts.store import Store
from artifacts.token_files import DamagedTokensError

_WORK_KEPT = 7 * 24 * 3600.0  # seconds; age at which the work of a killed run is no longer kept for a rerun
_TOKENS_KEPT = 7 * 24 * 3600.0  # seconds after their last use
_UNFINISHED_KEPT = 3600.0  # seconds after the last change: a step that was started by hand may be writing them


def folders(store: Store) -> list[Path]:
    """Every artifact's folder, damaged ones included."""
    return sorted(path for path in (store.root / "artifacts").glob("*/*") if not path.name.startswith("."))


def find_unneeded(store: Store, keep_runs: int) -> list[Path]:
    """Find folders that can be deleted."""
    if any(run.is_alive() for run in all_runs(store.root)):
        return []  # the artifacts that a running pipeline will take from the cache are unknown here
    needed = _of_plans(store) | _of_runs(store, keep_runs) | _of_model_versions(store)
    stale = [path for path in (store.root / "work").glob("*") if time.time() - path.stat().st_mtime > _WORK_KEPT]
    unneeded = [path for path in folders(store) if store.root / path not in needed]
    return unneeded + sorted(stale) + _unneeded_tokens(store, needed)


def remove(store: Store, paths: list[Path]) -> None:
    """Remove folders, and the records that spoke of them."""
    for path in paths:
        gone = path.with_name(f".{path.name}.gone")
        path.rename(gone)  # one moment: a reader finds all of it or nothing
        if gone.is_symlink() or gone.is_file():
            gone.unlink()
        else:
            shutil.rmtree(gone)
    for file in (store.root / "records").glob("*/*.json"):
        try:
            kept = (store.root / atomic.read_json(file)["artifact"]["path"]).exists()
        except (ValueError, KeyError, TypeError):
            kept = False  # damaged: it stands for nothing
        if not kept:
            file.unlink()


def size(path: Path) -> int:
    """Bytes under a folder."""
    return sum(file.lstat().st_size for file in [path, *path.rglob("*")] if file.is_symlink() or file.is_file())


def size_text(count: int) -> str:
    """`3.2 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _unneeded_tokens(store: Store, needed: set[Path]) -> list[Path]:
    corpora = set[str]()
    for path in needed:
        with suppress(ArtifactError):
            corpora.add(open_artifact(path, "corpus", check=False).digest)
    found = []
    for folder in token_files.folders(store.root):
        try:
            kept = token_files.read(folder, check=False)["about"].get("corpus") in corpora
        except (FileNotFoundError, DamagedTokensError):
            kept = False
        if not kept or time.time() - folder.stat().st_mtime > _TOKENS_KEPT:
            found.append(folder)
    for folder in token_files.leftovers(store.root):
        changed = max((path.stat().st_mtime for path in [folder, *folder.rglob("*")]), default=0.0)
        if time.time() - changed > _UNFINISHED_KEPT:
            found.append(folder)
    return found


def _of_plans(store: Store) -> set[Path]:
    newest: dict[tuple[str, str], str] = {}
    for step in sorted(path.name for path in (store.root / "records").glob("*") if path.is_dir()):
        for record in store.records(step):
            newest[record.get("pipeline", ""), record.get("node", "")] = record["artifact"]["path"]
    return {store.root / path for path in newest.values()}


def _of_runs(store: Store, keep_runs: int) -> set[Path]:
    runs = list(all_runs(store.root))
    kept = runs[max(0, len(runs) - keep_runs) :] + [run for run in runs if run.state == RUNNING]
    return {store.root / node["path"] for run in kept for node in run.nodes.values() if "path" in node}


def _of_model_versions(store: Store) -> set[Path]:
    digests = set[str]()
    for path in (store.root / "artifacts" / "model_version").glob("*"):
        try:
            digests.update(entry["digest"] for entry in open_artifact(path, check=False).lineage)
        except ArtifactError:
            continue
    found = set[Path]()
    for path in folders(store):
        with suppress(ArtifactError):
            if open_artifact(path, check=False).digest in digests:
                found.add(path)
    return found
