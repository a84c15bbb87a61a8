"""The user's own files: txt, CSV, TSV, JSONL, Parquet, plain or .gz or .zst, read as a stream."""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steps.contract import UserError
from steps.preparation.lines import BOMB_RATIO, LONGEST_LINE, BombError, lines
from steps.preparation.rows import Bad, Row, bad, place_of
from steps.preparation.spans import SpansError, parsed, written

KINDS = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; the empty string for none."""

    text: str
    label: str = ""
    group: str = ""
    target: str = ""
    spans: str = ""

    def named(self) -> list[tuple[str, str]]:
        """Parameter and column of each that there is."""
        pairs = [(f"{part}_column", getattr(self, part)) for part in ("text", "target", "spans", "label", "group")]
        return [(parameter, column) for parameter, column in pairs if column]


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


def read(paths: list[Path], columns: Columns) -> Iterator[Row | Bad]:
    """All rows of these files, in order. Places are relative to the folder that holds all of the files.

    So the same files elsewhere give the same rows.
    """
    prefix = f"{os.path.commonpath([path.parent for path in paths])}{os.sep}".removeprefix(f".{os.sep}")
    for path in paths:
        for item in _all_of(path, columns):
            if isinstance(item, Row):
                yield replace(item, id=item.id.removeprefix(prefix))
            else:
                yield Bad(item.reason, item.place.removeprefix(prefix), item.start)


def _all_of(path: Path, columns: Columns) -> Iterator[Row | Bad]:
    try:
        yield from _reader(path)(path, columns)
    except BombError:
        yield bad("decompresses to too much", place_of(path, 1), f"over {BOMB_RATIO} bytes for each compressed one")
    except (OSError, EOFError) as error:
        if getattr(error, "errno", None):
            raise UserError(f"{path}: {error}; check the file") from None
        yield bad("damaged compression", place_of(path, 1), str(error))


def _reader(path: Path) -> Any:
    return {".txt": _text, ".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[kind_of(path)]


def _text(path: Path, columns: Columns) -> Iterator[Row | Bad]:
    """One row a line; empty lines are no rows."""
    for parameter, name in columns.named():
        if parameter != "text_column":
            raise UserError(f"{path}: a text file has no columns, so there is no {name!r}; leave {parameter} empty", 2)
    for number, line in lines(path):
        if isinstance(line, Bad):
            yield line
        elif line.strip():
            yield Row(place_of(path, number), line, None, None)


def _jsonl(path: Path, columns: Columns) -> Iterator[Row | Bad]:
    first = True
    for number, line in lines(path):
        if isinstance(line, Bad):
            yield line
            continue
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            yield bad("not JSON", place_of(path, number), line)
            continue
        if not isinstance(values, dict):
            yield bad("not a JSON object", place_of(path, number), line)
            continue
        if first:
            _check_columns(path, list(values), columns)
            first = False
        yield row_of(values, columns, place_of(path, number))


def _csv(path: Path, columns: Columns) -> Iterator[Row | Bad]:
    problems: list[Bad] = []
    at = 0  # the csv module would count the lines that it was given, not those of the file

    def goodlines() -> Iterator[str]:
        nonlocal at
        for at, line in lines(path):  # noqa: B007
            if isinstance(line, Bad):
                problems.append(line)
            else:
                yield line + "\n"

    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(goodlines(), delimiter="\t" if kind_of(path) == ".tsv" else ",")
    header = [name.strip() for name in next(reader, [])]
    if problems:  # without its header nothing in the file can be told apart
        yield problems[0]
        return
    if not header:
        return
    _check_columns(path, header, columns)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield bad(f"not CSV ({error})", place_of(path, at), "")
            continue
        yield from problems
        problems.clear()
        if not fields:
            continue
        if len(fields) != len(header):
            yield bad(f"{len(fields)} fields, the header has {len(header)}", place_of(path, at), ",".join(fields))
            continue
        yield row_of(dict(zip(header, fields, strict=True)), columns, place_of(path, at))
    yield from problems


def _parquet(path: Path, columns: Columns) -> Iterator[Row | Bad]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix in (".gz", ".zst"):
        raise UserError(f"{path}: Parquet is compressed within; give the plain .parquet file", 2)
    try:
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)  # page by page, never whole columns
    except pa.ArrowException as error:
        yield bad("not Parquet", place_of(path, 1), str(error))
        return
    with file:
        _check_columns(path, file.schema_arrow.names, columns)
        wanted = [name for _, name in columns.named()]
        number = 0
        try:
            for batch in file.iter_batches(1024, columns=wanted):
                for values in batch.to_pylist():
                    number += 1
                    yield row_of(values, columns, place_of(path, number))
        except (pa.ArrowException, OSError) as error:
            yield bad("damaged Parquet", place_of(path, number + 1), str(error))


def row_of(values: dict[str, Any], columns: Columns, place: str) -> Row | Bad:
    """A row of columns by name, checked; a bad one with its reason."""
    text = values.get(columns.text)
    if not isinstance(text, str):
        return bad("no text", place, json.dumps(values, default=str))
    label = values.get(columns.label) if columns.label else None
    group = values.get(columns.group) if columns.group else None
    target = values.get(columns.target) if columns.target else None
    if columns.target and not isinstance(target, str):
        return bad("no target", place, json.dumps(values, default=str))
    try:
        marked = _spans(values.get(columns.spans), text) if columns.spans else None
    except SpansError as error:
        return bad(str(error), place, json.dumps(values, default=str))
    return Row(
        place, text, None if label in (None, "") else str(label), None if group in (None, "") else str(group), target,
        spans=marked,
    )  # fmt: skip


def _spans(value: Any, text: str) -> str | None:
    """A row's spans as a corpus keeps them; None where nobody has marked the text."""
    return None if value in (None, "") else written(parsed(value, text))


def _check_columns(path: Path, found: list[str], columns: Columns) -> None:
    for parameter, name in columns.named():
        if name not in found:
            raise UserError(f"{path}: no column {name!r} ({parameter}); it has {', '.join(found)}")
