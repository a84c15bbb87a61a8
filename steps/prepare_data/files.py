"""The user's own files: txt, CSV, TSV, JSONL, Parquet, plain or .gz or .zst, read as a stream.

Every record of a file becomes a Row or a Bad with its place; a file that cannot be read is an error.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artifacts.errors import UserError
from steps.prepare_data import delimited, json_lines, parquet, text_files
from steps.prepare_data.columns import Columns, Missing, missing_in, refuse_missing, refuse_twice
from steps.prepare_data.reading import Quoting, Reading
from steps.prepare_data.rows import Bad, Row, place_of, with_id
from steps.prepare_data.values import Numbers, row_of

KINDS = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")


def matching(source: str) -> list[Path]:
    """The files of a path or glob, sorted. UserError when there are none, or when one is of a kind we don't read."""
    if Path(source).is_file():  # as it is, brackets and all
        paths = [Path(source)]
    else:
        paths = sorted(Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file())  # noqa: PTH207
    if not paths:
        raise UserError(
            f"source {source!r}: no such file; give a path or glob, a folder of images, `docs`, or `hf:name`", 2
        )
    for path in paths:
        if kind_of(path) not in KINDS:
            raise UserError(
                f"{path}: cannot read this kind of file; known: {', '.join(KINDS)}, each also .gz or .zst", 2
            )
    return paths


def kind_of(path: Path) -> str:
    """The ending that says how to read a file, without a compression's."""
    return Path(path.stem).suffix.lower() if path.suffix in (".gz", ".zst") else path.suffix.lower()


def missing(paths: list[Path], columns: Columns, quoting: Quoting = "auto") -> list[Missing]:
    """Every column that a file lacks, as far as headers and a look at JSONL files show it."""
    return [found for path in paths for found in _missing(path, columns, quoting)]


def read(
    paths: list[Path], columns: Columns, reading: Reading | None = None, root: Path | None = None
) -> Iterator[Row | Bad]:
    """All rows of these files, in order. Places are relative to `root`'s parent, or the folder that holds all files.

    So the same files elsewhere give the same rows.
    """
    reading = reading or Reading(columns, numbers=Numbers(lambda column: values(paths, column)))
    prefix = reading.prefix = _prefix(
        root.parent if root else Path(os.path.commonpath([path.parent for path in paths]))
    )
    refuse_missing(missing(paths, columns, reading.quoting))
    for path in paths:
        with _readable(path):
            for item in _rows(path, reading):
                if isinstance(item, Row):
                    yield with_id(item, item.id.removeprefix(prefix))
                else:
                    yield Bad(item.reason, item.place.removeprefix(prefix), item.start)
    refuse_missing(reading.missing)


def _prefix(folder: Path) -> str:
    """The part of a place that says where the folder lies."""
    return f"{folder}{os.sep}".removeprefix(f".{os.sep}").encode("utf-8", "backslashreplace").decode()


def values(paths: list[Path], column: str) -> Iterator[Any]:
    """All values of a column, of the files in which it can hold floats."""
    readers = {".jsonl": json_lines.values, ".json": json_lines.values, ".parquet": parquet.values}
    for path in paths:
        if kind_of(path) in readers:
            yield from readers[kind_of(path)](path, column)


class _readable:  # noqa: N801 # a context manager
    """Makes the system's errors about a file the user's."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise UserError(f"{self._path}: {error.strerror or error}; check the file") from None


def _missing(path: Path, columns: Columns, quoting: Quoting) -> list[Missing]:
    kind = kind_of(path)
    with _readable(path):
        if kind == ".txt":
            return _no_columns(path, columns)
        if kind in (".jsonl", ".json"):
            return json_lines.missing(path, columns)
        if kind == ".parquet":
            return parquet.missing(path, columns)
        header = _header(path, quoting)
        return missing_in(path, header, columns) if header else []


def _no_columns(path: Path, columns: Columns) -> list[Missing]:
    for parameter, name in columns.parameter_columns():
        if parameter != "text_column":
            raise UserError(f"{path}: a text file has no columns, so there is no {name!r}; leave {parameter} empty", 2)
    return []


def _rows(path: Path, reading: Reading) -> Iterator[Row | Bad]:
    readers = {
        ".txt": text_files.read,
        ".csv": _read_delimited,
        ".tsv": _read_delimited,
        ".jsonl": json_lines.read,
        ".json": json_lines.read,  # of a data set's folder, if it has an object a line
        ".parquet": parquet.read,
    }
    yield from readers[kind_of(path)](path, reading)


def _read_delimited(path: Path, reading: Reading) -> Iterator[Row | Bad]:
    found = _records(path, reading.quoting, reading.columns.label)
    first = next(found, None)
    if first is None or isinstance(first, Bad):
        return
    header = [name.strip() for name in first[1]]
    wanted = [(name, header.index(name)) for _, name in reading.columns.parameter_columns()]
    for item in found:
        if isinstance(item, Bad):
            yield item
        else:
            number, fields = item
            yield row_of({name: fields[at] for name, at in wanted}, reading.columns, place_of(path, number))


def _records(path: Path, quoting: Quoting, label: str) -> Iterator[tuple[int, list[str]] | Bad]:
    tabs = kind_of(path) == ".tsv"
    return delimited.records(path, "\t" if tabs else ",", quoting == "csv" or (quoting == "auto" and not tabs), label)


def _header(path: Path, quoting: Quoting) -> list[str]:
    first = next(_records(path, quoting, ""), None)
    header = [] if first is None or isinstance(first, Bad) else [name.strip() for name in first[1]]
    refuse_twice(path, header)
    return header
