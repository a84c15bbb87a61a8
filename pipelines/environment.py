"""The packages that a step's result can depend on: runtime dependencies at their installed versions.

The lock says which packages belong to a run and why (its `# via` lines); the names of the installed `*.dist-info`
folders say which version each has. Reading both takes milliseconds, importing `importlib.metadata`'s answers seconds.
"""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

from artifacts.errors import UserError
from artifacts.home import CHECKOUT

LOCK = CHECKOUT / "requirements.lock"


def python_version() -> str:
    """The interpreter's implementation and full version, for instance `CPython 3.11.7`."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def packages() -> dict[str, str]:
    """Name -> installed version of each locked package that a run needs, tools for developers left out."""
    versions = installed_packages()
    needed = _required_packages()
    return {name: versions[name] for name in sorted(needed) if name in versions}


def _required_packages() -> set[str]:
    """The dependencies of pyproject.toml and, by the lock's `# via` lines, all that these need."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    roots = {_normal(re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]) for requirement in project["dependencies"]}
    needs: dict[str, set[str]] = {}
    for name, wanted_by in _lock_entries():
        for parent in wanted_by:
            needs.setdefault(parent, set()).add(name)
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(needs.get(name, ()))
    return found


def _lock_entries() -> list[tuple[str, list[str]]]:
    try:
        lines = LOCK.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{LOCK}: missing; a fingerprint needs it (restore it from git)", 2) from None
    entries: list[tuple[str, list[str]]] = []
    for line in lines:
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", line):
            entries.append((_normal(match[1]), []))
        elif entries and (match := re.match(r"\s+#\s+(?:via\s+)?([A-Za-z0-9._-]+)", line)) and match[1] != "via":
            entries[-1][1].append(_normal(match[1]))
    return entries


@cache
def installed_packages() -> dict[str, str]:
    """Name -> version of every installed package."""
    versions: dict[str, str] = {}
    for folder in reversed(sys.path):  # the first on the path wins, as it does for an import
        if not folder or not Path(folder).is_dir():
            continue
        for info in Path(folder).glob("*.dist-info"):
            name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
            versions[_normal(name)] = version
    return versions


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
