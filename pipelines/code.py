"""The closure of our own code that a step runs, with a hash of each file.

The closure of a module is every module of ours that it imports, at its top or inside a function, and what those import.
Left out: imports under `if TYPE_CHECKING:` (never executed), those under `if config.FIELD:` in a step's own files while the
field is empty, and telemetry, which cannot affect a result. A file's hash is over its syntax tree without docstrings, so
comments, docstrings and formatting do not count.

Parsing takes a second or more, so its results are kept next to Python's compiled files, by the hash of path and text.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from artifacts import atomic
from artifacts.home import CHECKOUT

_NEVER = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")
MEMORY = Path(importlib.util.cache_from_source(__file__)).with_suffix(".json")
_MOST_REMEMBERED = 5000  # sources; then the memory starts again
PACKAGES = ("artifacts", "deploy", "models", "redaction", "steps", "tasks", "training")  # a result can depend on these


@dataclass(frozen=True)
class Import:
    """A module that a file imports, if all of these fields of the step's config have a value."""

    module: str
    fields: frozenset[str] = frozenset()

    def is_made(self, config: object) -> bool:
        """Whether a run with this config imports it."""
        return all(getattr(config, name, True) for name in self.fields)


@dataclass(frozen=True)
class Source:
    """One file of ours: its hash, and the modules of ours that it imports."""

    file: str  # relative to the checkout
    sha256: str
    imports: frozenset[Import]


def closure(modules: Iterable[str], config: object = None, root: Path = CHECKOUT) -> dict[str, str]:
    """File -> hash, for these modules and all of ours that they import in a run with this config."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = _file_of(module, root)
        if path is None:
            continue
        source = read(path, root)
        found[source.file] = source.sha256
        waiting.extend(each.module for each in source.imports if each.is_made(config))
        waiting.extend(_packages_above(module))
    _memory().save()
    return dict(sorted(found.items()))


@cache
def read(path: Path, root: Path = CHECKOUT) -> Source:
    """One file, parsed, or as it is remembered."""
    text, file = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    if root != CHECKOUT:
        return _parse(file, text)
    memory, key = _memory(), hashlib.sha256(f"{file}\0{text}".encode()).hexdigest()
    source = memory.get(file, key)
    if source is None:
        source = _parse(file, text)
        memory.add(key, source)
    return source


class Memory:
    """Parsed sources of earlier processes, if they were parsed by this code and this Python."""

    def __init__(self, path: Path) -> None:
        self._path, self._changed = path, False
        self._parser = f"{sys.version} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"
        self._sources: dict[str, Any] = {}
        try:
            content = atomic.read_json(path)
            if content["parser"] == self._parser:
                self._sources = dict(content["sources"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing or damaged: parse again

    def get(self, file: str, key: str) -> Source | None:
        """The source of a file with this hash of path and text."""
        try:
            sha256, imports = self._sources[key]
            return Source(file, sha256, frozenset(Import(name, frozenset(fields)) for name, fields in imports))
        except (KeyError, ValueError, TypeError):
            return None

    def add(self, key: str, source: Source) -> None:
        """Remember a source."""
        imports = sorted((one.module, sorted(one.fields)) for one in source.imports)
        self._sources[key] = [source.sha256, imports]
        self._changed = True

    def save(self) -> None:
        """Write new sources to disk. An installation that cannot be written to remembers nothing."""
        if not self._changed or sys.dont_write_bytecode:
            return
        self._changed = False
        if len(self._sources) > _MOST_REMEMBERED:
            self._sources = {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)  # PYTHONPYCACHEPREFIX names a tree of its own
            atomic.write_text(self._path, json.dumps({"parser": self._parser, "sources": self._sources}))
        except OSError:
            pass


@cache
def _memory() -> Memory:
    return Memory(MEMORY)


def _parse(file: str, text: str) -> Source:
    """With a syntax error the text itself is hashed: the step will report the error."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return Source(file, hashlib.sha256(text.encode()).hexdigest(), frozenset())
    package = ".".join(file.split("/")[:-1])
    found = _imports(tree, package, by_config=file.startswith("steps/"))
    imports = frozenset(each for each in found if each.module.split(".")[0] in PACKAGES)
    _drop_docstrings(tree)
    return Source(file, hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports)


def _file_of(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None  # a name inside a module (`from tasks import load`): the module itself is in the closure already


def _packages_above(module: str) -> Iterator[str]:
    """Importing `a.b.c` runs `a/__init__.py` and `a/b/__init__.py` too."""
    parts = module.split(".")
    for length in range(1, len(parts)):
        yield ".".join(parts[:length])


def _imports(tree: ast.Module, package: str, by_config: bool) -> Iterator[Import]:
    waiting: list[tuple[ast.AST, frozenset[str]]] = [(tree, frozenset())]
    while waiting:
        node, fields = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in _NEVER:
            waiting.extend((child, fields) for child in node.orelse)
            continue
        if isinstance(node, ast.If) and by_config and (name := _field(node.test)):
            waiting.extend((child, fields | {name}) for child in node.body)
            waiting.extend((child, fields) for child in node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, fields) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield Import(base, fields)
            yield from (Import(f"{base}.{alias.name}", fields) for alias in node.names)
        waiting.extend((child, fields) for child in ast.iter_child_nodes(node))


def _field(test: ast.expr) -> str:
    """`config.init` -> `init`; empty for any other expression."""
    if isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name) and test.value.id == "config":
        return test.attr
    return ""


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
