"""Put a registered version's files on this disk, checked against its registration, and print their folder.

examples:
  python -m deploy.fetch models:/glassformer-docs@champion
  python -m deploy.fetch models:/glassformer-docs/3

A version that is here already is not fetched again. Exit codes: 0 it is here; 1 no such version, or its files are not those that
were registered; 2 a wrong word; 75 the registry does not answer, try again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from artifacts import model_files
from artifacts.errors import EXIT_TEMPORARY
from artifacts.home import home
from command_line import Parser, fail
from deploy.serving import ServingError, VersionError, check_name
from deploy.serving.registry import AwayError, Registry
from deploy.store import connect, use_told_store

_URI = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<number>[1-9][0-9]*))")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, fetch and print. Returns the exit code."""
    parser = Parser("python -m deploy.fetch", __doc__)
    parser.add_argument("uri", metavar="URI", help="models:/NAME@ALIAS or models:/NAME/VERSION")
    uri = parser.parse_args(arguments).uri
    match = _URI.fullmatch(uri)
    if not match:
        wanted = "models:/NAME@ALIAS or models:/NAME/VERSION, for instance models:/glassformer-docs@champion"
        return fail(f"deploy.fetch: {uri}: give {wanted}", 2)
    use_told_store(Path(home()) / "outbox")
    try:
        print(fetch(match["name"], alias=match["alias"] or "", number=match["number"] or ""))
    except AwayError as error:
        return fail(f"deploy.fetch: {uri}: the registry does not answer: {error}", EXIT_TEMPORARY)
    except VersionError as error:
        return fail(f"deploy.fetch: {uri}: this version {error}", 1)
    except ServingError as error:
        return fail(f"deploy.fetch: {error}", 1)
    return 0


def fetch(name: str, *, alias: str = "", number: str = "") -> Path:
    """The folder of the version with an alias or a number. ServingError if there is no such version."""
    check_name(name)
    registry = Registry(name, Path(home()) / "serving", connect)
    if alias:
        number = registry.aliases([alias]).get(alias, "")
        if not number:
            raise ServingError(
                f"{name} has no alias {alias}; `python -m steps.promote --model {name}` promotes a version"
            )
    known = registry.fetch(number)
    if lacks := model_files.missing(known.folder):
        raise VersionError(f"lacks {', '.join(lacks)} among its files")
    if changed := known.changed_parts():
        raise VersionError(f"has files that changed since it was registered: {' and '.join(changed)}")
    return known.folder


if __name__ == "__main__":
    sys.exit(main())
