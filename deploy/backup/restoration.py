"""Restore a backup: verify all of it, stage all of it next to its targets, and only then put it in place by renames.

<home>/restore.json     while it is there, a restore was cut short after everything was staged; the next one goes on with it
<place>.restoring       what is staged;  <place>.before-<when>  what was there
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from artifacts import atomic
from artifacts.home import base as own_base
from artifacts.runs import all_runs
from artifacts.store import Store as HomeStore
from deploy.backup.backup_folder import (
    Backup,
    BackupError,
    check,
    check_room,
    copy_file,
    full_disk_explained,
    open_backup,
)
from deploy.backup.compose import Volume
from deploy.backup.locations import HOME_PARTS, Places, relocate, statements
from deploy.backup.postgres import PostgresStore
from deploy.backup.sqlite import SqliteStore

Say = Callable[[str], None]
_ARTIFACTS = ("mlruns", "mlartifacts")  # MLflow's default names of its artifact folder


def journal_of(home: Path) -> Path:
    """The file that marks a restore in progress."""
    return home / "restore.json"


def restore(path: Path, places: Places, replace: bool, say: Say, bases: Sequence[tuple[Path, Path]] = ()) -> Backup:
    """Restore the backup at `path` to the locations of the environment. BackupError, with nothing touched, if that is impossible.

    Artifacts that lay under the first of a pair in `bases` go under the second; else with the store or the checkout.
    """
    with HomeStore(places.home).lock("restore", lambda: say("another restore is under way; this one waits")):
        journal = journal_of(places.home)
        if journal.exists():
            plan = atomic.read_json(journal)
            say(f"a restore of {plan['backup']} was cut short; going on with it")
            _check_unused(places)
            return _finish(plan, places, say)
        backup = open_backup(path.expanduser().resolve())
        check(backup)
        _check_fits(backup, places)
        _check_unused(places)
        targets = _targets(backup, places, bases)
        _check_empty(targets, places, replace)
        plan = _stage(backup, places, targets)
        atomic.write_json(journal, plan)
        return _finish(plan, places, say)


def _targets(backup: Backup, places: Places, given: Sequence[tuple[Path, Path]]) -> list[tuple[str, Path]]:
    """Folder of the backup and where it belongs. BackupError for one that belongs nowhere that was named."""
    named = {"base": places.base, "home": places.home, "checkout": own_base()}
    bases = [*given, *((Path(backup.manifest[name]), now) for name, now in named.items())]
    targets = []
    for entry in backup.manifest["artifacts"]:
        if entry["path"]:
            target = relocate(Path(entry["path"]), bases)
            _check_place(backup, Path(entry["path"]), target, places, [new for _, new in given])
            targets.append((str(entry["folder"]), target.resolve()))
        elif places.served is None:
            raise BackupError(
                f"{backup.path}: holds a server's artifacts; name its --artifacts-destination by --artifacts FOLDER"
            )
        elif isinstance(places.served, Path):
            targets.append((str(entry["folder"]), places.served))
    targets += [(f"home/{part}", (places.home / part).resolve()) for part in HOME_PARTS]
    for number, (_, one) in enumerate(targets):
        for _, other in targets[:number]:
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise BackupError(f"{backup.path}: {one} and {other} would lie within each other; use another backup")
    return targets


def _check_place(backup: Backup, was: Path, target: Path, places: Places, moved: Sequence[Path]) -> None:
    """A manifest is not trusted: its artifacts go to MLflow's folders next to the store or the checkout, into the home, or to
    a place that the user names; not among programs, keys or settings."""
    roots = [places.home, *moved, *(base / name for base in (places.base, own_base()) for name in _ARTIFACTS)]
    if not any(target.is_relative_to(root) for root in roots):
        raise BackupError(
            f"{backup.path}: artifacts that lay in {was} would go to {target}; say where they belong: --move {was}=FOLDER"
        )


def _check_fits(backup: Backup, places: Places) -> None:
    kind, revision = backup.manifest["store"], str(backup.manifest["revision"])
    if kind != places.store.kind:
        raise BackupError(
            f"{backup.path}: of a {kind} store, MLFLOW_TRACKING_URI names {places.store.kind}; set it to one of {kind}"
        )
    spec = find_spec("mlflow")
    versions = Path(str(spec.origin)).parent / "store" / "db_migrations" / "versions" if spec else Path()
    known = {
        match[1]
        for file in versions.glob("*.py")
        if (match := re.search(r"""^revision = ["'](\w+)""", file.read_text(), re.M))
    }
    if known and revision not in known:
        raise BackupError(
            f"{backup.path}: its store was written by a newer MLflow (schema {revision}); update the environment first"
        )


def _check_unused(places: Places) -> None:
    for run in all_runs(places.home):
        if run.is_alive():
            raise BackupError(
                f"run {run.id} ({run.pipeline}, process {run.pid}) is under way; wait for it or stop it, then restore"
            )
    places.store.check_unused()


def _check_empty(targets: list[tuple[str, Path]], places: Places, replace: bool) -> None:
    if replace:
        return
    there = [places.store.address] if places.store.is_filled() else []
    there += [str(path) for _, path in targets if path.is_dir() and any(path.iterdir())]
    if isinstance(places.served, Volume) and places.served.is_filled():
        there.append("MLflow's artifacts in its volume")
    if there:
        raise BackupError(
            f"{', '.join(there)}: there already; add --replace (make: REPLACE=1) to move that aside and put the backup in its place"
        )


def _stage(backup: Backup, places: Places, targets: list[tuple[str, Path]]) -> dict[str, Any]:
    """Copy everything next to its target, comparing digests once more. Returns the remaining moves, as JSON."""
    stamp = time.strftime("%Y%m%dt%H%M%S", time.gmtime())
    places_of = dict(targets)
    moved = [
        (Path(entry["path"]), places_of[entry["folder"]])
        for entry in backup.manifest["artifacts"]
        if entry["path"] and Path(entry["path"]) != places_of[entry["folder"]]
    ]
    changes = statements(places.store.schema, backup.manifest["paths"], moved)
    moves: list[tuple[Path, Path]] = []
    staged: list[Path] = []
    try:
        for folder, target in targets:
            staged.append(staging := target.with_name(f"{target.name}.restoring"))
            _stage_folder(backup, folder, staging)
            if target.exists():
                moves.append((target, target.with_name(f"{target.name}.before-{stamp}")))
            moves.append((staging, target))
        _rename_store(backup, places, places.home / "runs.restoring")
        if isinstance(places.store, SqliteStore):
            staged.append(staging := places.store.file.with_name(f"{places.store.file.name}.restoring"))
            staging.parent.mkdir(parents=True, exist_ok=True)
            places.store.stage(backup.path / places.store.name, staging, changes)
            moves += places.store.moves(staging, stamp)
        if isinstance(places.served, Volume):
            places.served.stage(backup.path / "artifacts" / "served")
    except BaseException:
        for path in staged:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        raise
    return {
        "backup": str(backup.path),
        "stamp": stamp,
        "changes": changes,
        "moves": [[str(a), str(b)] for a, b in moves],
    }


def _stage_folder(backup: Backup, folder: str, staged: Path) -> None:
    files = backup.under(folder)
    shutil.rmtree(staged, ignore_errors=True)  # a killed one's half
    check_room(staged, sum(int(entry["bytes"]) for entry in files.values()))
    with full_disk_explained(staged):
        staged.mkdir(parents=True)
        for name, entry in files.items():
            if copy_file(backup.path / folder / name, staged / name) != entry:
                raise BackupError(f"{backup.path / folder / name}: changed while it was read; check the disk")


def _rename_store(backup: Backup, places: Places, runs: Path) -> None:
    """Runs with metrics still to be delivered name the store by its address: a moved store has a new one."""
    old, new = backup.manifest["tracking_uri"], places.tracking_uri
    for file in runs.glob("*/run.json") if old != new else ():
        try:
            run = atomic.read_json(file)
        except ValueError:
            continue  # as it was
        if run.get("tracking_uri") == old:
            atomic.write_json(file, run | {"tracking_uri": new})


def _finish(plan: dict[str, Any], places: Places, say: Say) -> Backup:
    """Put it all in its place. Every part may have been done before; none is done twice."""
    backup = open_backup(Path(plan["backup"]))
    store, stamp = places.store, str(plan["stamp"])
    if isinstance(store, PostgresStore) and not store.is_restored(stamp):
        try:
            check(backup)
            store.restore(backup.path / store.name, stamp, plan["changes"])
        except BackupError:
            _forget(plan, places)
            raise
    if isinstance(places.served, Volume):
        places.served.swap(stamp)
    for source, target in ((Path(a), Path(b)) for a, b in plan["moves"]):
        if source.exists() and (source.suffix == ".restoring" or not target.exists()):
            if target.exists():
                raise BackupError(f"{target} was made meanwhile; move it away, then `make restore` goes on")
            source.rename(target)
            atomic.sync(target.parent)
    journal_of(places.home).unlink()
    aside = [target for _, target in plan["moves"] if f".before-{stamp}" in target and Path(target).exists()]
    if aside:
        say("\n  ".join(["what was there lies aside; delete it when you need it no more:", *aside]))
    if isinstance(store, PostgresStore):
        say(f'the old tables are schema before_{stamp}: DROP SCHEMA "before_{stamp}" CASCADE removes them')
    return backup


def _forget(plan: dict[str, Any], places: Places) -> None:
    """The database took nothing: neither do the files."""
    for source, _ in plan["moves"]:
        if source.endswith(".restoring"):
            shutil.rmtree(source, ignore_errors=True)
    journal_of(places.home).unlink()
