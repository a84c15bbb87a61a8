"""Look after the artifacts that steps made, and the token files of trainings.

examples:
  python -m artifacts list
  python -m artifacts gc            list artifacts that nothing needs, with their size
  python -m artifacts gc --yes      remove it
  python -m artifacts gc --tokens   list all token files instead: trainings make them again
"""

from __future__ import annotations

import argparse
import sys

from artifacts import gc, token_files
from artifacts.artifact import ArtifactError, open_artifact
from artifacts.store import Store
from artifacts.token_files import DamagedTokensError
from command_line import Parser


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m artifacts", __doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    commands.add_parser("list", help="what there is").set_defaults(do=_list)
    check = commands.add_parser("check", help="compare each file's sha256 with its manifest")
    check.set_defaults(do=_check)
    collect = commands.add_parser("gc", help="remove what no run, model version or plan needs")
    collect.add_argument("--yes", action="store_true", help="delete them; without this option they are only listed")
    collect.add_argument(
        "--keep-runs", type=int, metavar="N", default=5, help="keep what the last N runs made or used (default: 5)"
    )
    collect.add_argument("--tokens", action="store_true", help="remove all token files, and nothing else")
    collect.set_defaults(do=_gc)
    options = parser.parse_args()
    code: int = options.do(Store.default(), options)
    return code


def _list(store: Store, _: argparse.Namespace) -> int:
    for path in gc.folders(store):
        try:
            artifact = open_artifact(path, check=False)
        except ArtifactError as error:
            print(f"damaged: {error}", file=sys.stderr)
            continue
        print(
            f"{artifact.kind:14} {artifact.digest[:12]}  {gc.size_text(gc.size(path)):>9}  {artifact.manifest['step']:16} {path}"
        )
    for path in token_files.folders(store.root):
        try:
            about = token_files.read(path, check=False)["about"]
        except (FileNotFoundError, DamagedTokensError) as error:
            print(f"damaged: {error}", file=sys.stderr)
            continue
        of = f"{about['task']} {about['split']}"
        print(f"{'(tokens)':14} {path.name[:12]}  {gc.size_text(gc.size(path)):>9}  {of:16} {path}")
    return 0


def _check(store: Store, _: argparse.Namespace) -> int:
    bad = 0
    for path in gc.folders(store):
        try:
            open_artifact(path)
        except ArtifactError as error:
            bad += 1
            print(error, file=sys.stderr)
    print(f"{len(gc.folders(store)) - bad} artifacts are as they were made, {bad} are not")
    for path in token_files.folders(store.root):
        try:
            token_files.read(path)
        except (FileNotFoundError, DamagedTokensError) as error:
            bad += 1
            print(f"{error}; the next training makes it again", file=sys.stderr)
    return 1 if bad else 0


def _gc(store: Store, options: argparse.Namespace) -> int:
    unneeded = token_files.folders(store.root) if options.tokens else gc.find_unneeded(store, options.keep_runs)
    for path in unneeded:
        print(f"{gc.size_text(gc.size(path)):>9}  {path}")
    total = gc.size_text(sum(gc.size(path) for path in unneeded))
    if options.yes:
        gc.remove(store, unneeded)
    print(f"{len(unneeded)} folders, {total} {'removed' if options.yes else 'can go: add --yes'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
