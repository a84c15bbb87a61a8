"""Back up MLflow's store, its artifacts and our home into one verified folder, and restore it.

examples:
  python -m deploy.backup create                       backups/<when>, also while runs write (make backup)
  python -m deploy.backup create --to /mnt/disk        there instead (make backup TO=/mnt/disk)
  python -m deploy.backup list
  python -m deploy.backup check                        compare the newest, file by file, with its manifest
  python -m deploy.backup restore                      the newest, where nothing is yet (make restore)
  python -m deploy.backup restore FOLDER --replace     move what is there aside first (make restore FROM=FOLDER REPLACE=1)

The store is that of MLFLOW_TRACKING_URI (sqlite or PostgreSQL), else mlflow.db here; the home that of GLASSFORMER_HOME.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from artifacts.gc import size_text
from artifacts.home import base
from command_line import Parser, fail
from deploy.backup.backup_folder import MANIFEST, Backup, BackupError, check, open_backup
from deploy.backup.creation import create
from deploy.backup.locations import places
from deploy.backup.restoration import journal_of, restore


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m deploy.backup", __doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    made = commands.add_parser("create", help="make one")
    made.add_argument(
        "--name", default=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), help="of its folder; default: the time"
    )
    back = commands.add_parser("restore", help="bring one back")
    back.add_argument("--replace", action="store_true", help="move what is there aside first; nothing is deleted")
    back.add_argument(
        "--move",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="what lay under OLD goes under NEW (else: mlruns, mlartifacts)",
    )
    checked = commands.add_parser("check", help="compare one with its manifest, file by file")
    listed = commands.add_parser("list", help="which there are")
    for command in (back, checked):
        command.add_argument("folder", nargs="?", type=Path, help="the backup; default: the newest")
    for command in (made, back, checked, listed):
        command.add_argument("--to", dest="all", type=Path, default=base() / "backups", metavar="FOLDER",
                             help="where backups lie; default: backups/ of the checkout")  # fmt: skip
    for command in (made, back):
        command.add_argument(
            "--artifacts", type=Path, metavar="FOLDER", help="a tracking server's --artifacts-destination"
        )
        command.add_argument("--compose", action="store_true", help="of what docker-compose.yml runs")
    for command, do in ((made, _create), (back, _restore), (checked, _check), (listed, _list)):
        command.set_defaults(do=do)
    options = parser.parse_args()
    try:
        options.do(options)
    except BackupError as error:
        return fail(str(error), 1)
    except OSError as error:
        print(
            f"{error.filename or options.all}: {error.strerror}; check its rights, or choose another place",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _create(options: argparse.Namespace) -> None:
    backup = create(places(options.artifacts, options.compose), options.all.expanduser().resolve() / options.name)
    for line in backup.manifest["left_out"]:
        print(f"left out: {line}", file=sys.stderr)
    print(f"{backup.path}: {_describe(backup)}")


def _restore(options: argparse.Namespace) -> None:
    where = places(options.artifacts, options.compose)
    under_way = journal_of(where.home).exists()  # it names its backup
    folder = options.folder or (Path() if under_way else _newest(options.all))
    moves = [_move(text) for text in options.move]
    backup = restore(folder, where, options.replace, lambda line: print(line, flush=True), moves)
    print(f"restored {backup.path} to {where.store.address} and {where.home}: {_describe(backup)}")


def _move(text: str) -> tuple[Path, Path]:
    old, _, new = text.partition("=")
    if not old.startswith("/") or not new:
        raise BackupError(f"--move {text}: write OLD=NEW, OLD as an absolute path")
    return Path(old), Path(os.path.normpath(Path(new).absolute()))


def _check(options: argparse.Namespace) -> None:
    backup = open_backup(options.folder or _newest(options.all))
    check(backup)
    print(f"{backup.path}: {len(backup.files)} files are as they were backed up: {_describe(backup)}")


def _list(options: argparse.Namespace) -> None:
    for folder in _folders(options.all):
        try:
            backup = open_backup(folder)
        except BackupError as error:
            print(error)
            continue
        print(
            f"{backup.manifest['made_at']}  {size_text(backup.bytes):>9}  {backup.manifest['store']:10}  {folder}  {_describe(backup)}"
        )


def _folders(where: Path) -> list[Path]:
    return sorted(file.parent for file in where.glob(f"*/{MANIFEST}") if not file.parent.name.startswith("."))


def _newest(where: Path) -> Path:
    backups = _folders(where)
    if not backups:
        raise BackupError(f"{where}: no backup here; name one, or where they lie by --to")
    return max(backups, key=lambda folder: (folder / MANIFEST).stat().st_mtime)


def _describe(backup: Backup) -> str:
    counts = ", ".join(f"{backup.manifest['counts'][name]:,} {name}" for name in ("runs", "model versions", "aliases"))
    return f"{counts}; {size_text(backup.bytes)} in {len(backup.files):,} files"


if __name__ == "__main__":
    sys.exit(main())
