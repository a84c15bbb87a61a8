"""`docs`: the docstrings of the packages installed with us, read from their source without running any of it.

A row is one docstring; its label is the library, its group the module, so that a module's docstrings stay together.
Names and import paths of all the libraries are masked: what is left to learn is how each of them writes.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import multiprocessing
import re
import signal
import string
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from artifacts.errors import UserError
from steps.prepare_data.rows import Row

if TYPE_CHECKING:
    from telemetry import Observe

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Found = TypeVar("Found")

STDLIB = "python"
MASK = "library"
_TOPICS = "pydoc_data/topics.py"

# Label (the name it is imported by) -> distribution that installs it; all are needed to run, so all are there.
LABELLED = {
    "PIL": "pillow", "databricks": "databricks-sdk", "datasets": "datasets", "docker": "docker", "fontTools": "fonttools",
    "fsspec": "fsspec", "google": "google-auth", "graphql": "graphql-core", "huggingface_hub": "huggingface-hub",
    "matplotlib": "matplotlib", "mlflow": "mlflow", "alembic": "alembic", "narwhals": "narwhals", "networkx": "networkx",
    "numpy": "numpy", "opentelemetry": "opentelemetry-sdk", "pandas": "pandas", "pydantic": "pydantic", STDLIB: "",
    "scipy": "scipy", "setuptools": "setuptools", "sklearn": "scikit-learn", "sqlalchemy": "sqlalchemy",
    "sympy": "sympy", "torch": "torch", "triton": "triton", "urllib3": "urllib3", "werkzeug": "werkzeug",
}  # fmt: skip
# Text to pretrain on, of libraries too small, or in too few modules, to be a class.
UNLABELLED = {
    "aiohttp": "aiohttp", "mpmath": "mpmath", "anyio": "anyio", "click": "click", "datasketch": "datasketch",
    "flask": "flask", "git": "gitpython", "gunicorn": "gunicorn", "jinja2": "jinja2", "joblib": "joblib",
    "packaging": "packaging", "psutil": "psutil", "pyarrow": "pyarrow", "pyparsing": "pyparsing", "requests": "requests",
    "uvicorn": "uvicorn",
}  # fmt: skip
_MORE_NAMES = ("scikit", "pytorch", "cpython", "hugging face", "huggingface", "pydata", "numpydoc", "jax", "tensorflow")
_ALIASES = (
    "np", "pd", "plt", "mpl", "nx", "sa", "tf", "nn", "F", "sp", "sns", "os", "sys", "re", "json", "tl", "pa", "pc",
)  # fmt: skip
_SKIPPED = {
    "test", "tests", "testing", "_vendor", "_distutils", "site-packages", "idlelib", "lib2to3", "ensurepip",
    "vendored",
}  # fmt: skip


_NAMES_MASKED = sorted(
    {name.lower() for name in (*LABELLED, *UNLABELLED, *LABELLED.values(), *UNLABELLED.values(), *_MORE_NAMES)} - {""},
    key=lambda name: (-len(name), name),  # longest first: `scikit-learn` is one name and not `scikit` with a rest
)
# Names that are a part of other words, or words themselves, are masked only where they stand alone.
_ORDINARY = {"anyio", "click", "datasets", "flask", "hugging face", "packaging", "pillow", "pydata", "requests"}
_WITHIN = [name for name in _NAMES_MASKED if len(name) >= 5 and name not in _ORDINARY]  # as in NetworkXError
_STEMS = [name for name in _WITHIN if name.isalnum()]  # one of them is in every name of _WITHIN


def _pattern(names: list[str]) -> str:
    return "|".join(re.escape(name).replace(r"\ ", r"\s").replace(r"\-", "[-_]") for name in names)


_PATH = r"(?:[.][A-Za-z_]\w*)*"
_ALONE = rf"(?<![A-Za-z])(?:{_pattern([name for name in _NAMES_MASKED if name not in _WITHIN])})(?![A-Za-z])"
_ONLY_ALONE = re.compile(f"{_ALONE}{_PATH}", re.IGNORECASE)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # unlike lower(), it keeps every place
_NAMES = re.compile(f"(?:{_pattern(_WITHIN)}){_PATH}")  # for lowered text: ignoring case takes five times as long
_ALIAS = re.compile(rf"(?<![\w.])(?:{'|'.join(_ALIASES)})(?=[.][A-Za-z_])|(?<=\bas )(?:{'|'.join(_ALIASES)})\b")


def libraries(chosen: str) -> dict[str, str]:
    """Label or name -> distribution, of a comma list of libraries; of all when it is empty."""
    known = LABELLED | UNLABELLED
    if not chosen.strip():
        return known
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UserError(f"libraries: {name!r} is not one of {', '.join(sorted(known))}", 2)
    return {name: known[name] for name in sorted(names)}


def read(chosen: str, workers: int, observe: Observe) -> Iterator[Row]:
    """Every docstring, in the order of library, file and line, whatever the number of workers."""
    for library, file, found in of_files(_masked_docstrings, chosen, workers, observe):
        for qualified_name, line, text in found:
            label = library if library in LABELLED else None
            yield Row(f"{file}:{line}:{qualified_name}", text, label, file)


def of_files(
    reader: Callable[[str], Found], chosen: str, workers: int, observe: Observe
) -> Iterator[tuple[str, str, Found]]:
    """Library, file, and what `reader` finds in it, of each file, in their order. `reader` runs in workers: a function
    of a module."""
    files = [(name, root, path) for name in libraries(chosen) for root, path in _files(name)]
    names = [(name, path.relative_to(root).as_posix()) for name, root, path in files]
    paths = [str(path) for _, _, path in files]
    with observe.progress("read docstrings", len(files), "files") as progress:
        for (library, file), found in zip(names, _parallel_map(reader, paths, workers), strict=True):
            progress.update()
            yield library, file, found


def mask_names(text: str) -> str:
    """The text with every library's name, import path and usual alias replaced by one word."""
    text = _ALIAS.sub(MASK, text)
    parts, at = [], 0
    for found in _NAMES.finditer(text.translate(_LOWER)):
        parts += [text[at : found.start()], MASK]
        at = found.end()
    return _ONLY_ALONE.sub(MASK, "".join([*parts, text[at:]]))


def leaks(text: str) -> bool:
    """Whether a library's name or alias is still in a masked text."""
    lower = text.lower()
    return any(name in lower for name in _STEMS) or bool(_ONLY_ALONE.search(text) or _ALIAS.search(text))


def _files(library: str) -> Iterator[tuple[Path, Path]]:
    if library == STDLIB:
        root = Path(sysconfig.get_paths()["stdlib"])
        found = sorted(root.rglob("*.py"))
    else:
        root = Path(sysconfig.get_paths()["purelib"])
        found = sorted((root / library).rglob("*.py"))
    for path in found:
        if not _SKIPPED & set(path.relative_to(root).parts):
            yield root, path


def _parallel_map(reader: Callable[[str], Found], paths: list[str], workers: int) -> Iterator[Found]:
    if workers <= 1 or len(paths) < 200:
        yield from map(reader, paths)
        return
    # Spawned, not forked: this process has threads (the outbox), and a fork could copy a lock they hold.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        yield from pool.map(reader, paths, chunksize=32)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _masked_docstrings(path: str) -> list[tuple[str, int, str]]:
    return [(name, line, mask_names(text)) for name, line, text in docstrings_of(path)]


def docstrings_of(path: str) -> list[tuple[str, int, str]]:
    """Qualified name, line and text of each docstring in a file; none in one that does not parse.

    Of `pydoc_data/topics.py`, the language reference that `help()` shows, each topic.
    """
    tree = parse_file(path)
    if tree is None:
        return []
    found = [(name, getattr(node, "lineno", 1), text) for name, node, text in walk_docstrings(tree, "")]
    if path.endswith(_TOPICS):
        found += _topics(tree)
    return [(name, line, text) for name, line, text in found if text.strip()]


def parse_file(path: str) -> ast.Module | None:
    """A file's syntax tree, or None if it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            return ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _topics(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            for key, value in ast.literal_eval(statement.value).items():
                yield f"topics.{key}", statement.lineno, inspect.cleandoc(value)


def walk_docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, Documented, str]]:
    """Qualified name, node and docstring of everything within `node` (itself included) that has one."""
    if isinstance(node, Documented):
        text = ast.get_docstring(node, clean=False)
        if text:
            yield name or "module", node, inspect.cleandoc(text)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from walk_docstrings(child, f"{name}.{child.name}".lstrip("."))
        elif isinstance(child, ast.If | ast.Try):
            yield from walk_docstrings(child, name)


def _end_with_parent() -> None:
    """A worker ends when the step does, however the step ends; Ctrl-C is the step's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
