"""Rows of JSON-lines files. Columns are judged over the whole file: any row may lack one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artifacts.errors import UserError
from steps.prepare_data.columns import Columns, Missing, join_names, value_at
from steps.prepare_data.lines import BadLine, lines
from steps.prepare_data.reading import Reading, Seen
from steps.prepare_data.rows import Bad, Row, bad, place_of
from steps.prepare_data.values import row_of

_LOOKED_AT = 2 << 20  # characters of a file that `missing` reads


def has_lines(path: Path) -> bool:
    """Whether the first line is an object by itself: a `.json` file can also be one array or object over many lines."""
    first = next((line for _, line in lines(path) if isinstance(line, BadLine) or line.strip()), "")
    return isinstance(first, str) and isinstance(_values(str(path), first), dict)


class _Twice(dict[str, Any]):
    """An object that has a key twice."""

    key = ""


def read(path: Path, reading: Reading) -> Iterator[Row | Bad]:
    """Rows of one file. UserError for a key that an object has twice; a column that no row has is kept in `reading`."""
    columns, seen = reading.columns, Seen(path, reading.columns)
    for number, line in lines(path):
        place = place_of(path, number)
        item = _values(place, line)
        if isinstance(item, Bad):
            yield item
        elif item is not None:
            seen.add(item)
            for parameter, column in seen.absent_from(item):
                reading.absent.add(parameter, column, place.removeprefix(reading.prefix), item)
            yield row_of(item, columns, place, reading.numbers)
    reading.absent.rows += seen.rows
    if (missing := seen.missing()) is not None:
        reading.missing.append(missing)


def missing(path: Path, columns: Columns) -> list[Missing]:
    """Columns that no row has; none for a file that is too large to look at in a moment."""
    seen, size = Seen(path, columns), 0
    for number, line in lines(path):
        size += 0 if isinstance(line, BadLine) else len(line)
        if size > _LOOKED_AT:
            return []
        item = _values(place_of(path, number), line)
        if isinstance(item, dict):
            seen.add(item)
            if not seen.wanted:
                return []
    found = seen.missing()
    return [found] if found else []


def values(path: Path, column: str) -> Iterator[Any]:
    """All values of a column."""
    for number, line in lines(path):
        item = _values(place_of(path, number), line)
        if isinstance(item, dict):
            yield value_at(item, column)


def _values(place: str, line: str | BadLine) -> dict[str, Any] | Bad | None:
    """The object of a line; None for an empty one."""
    if isinstance(line, BadLine):
        return line.bad
    if not line.strip():
        return None
    try:
        item = _DECODER.decode(line)
    except (ValueError, RecursionError):
        return bad("not JSON", place, line)
    if not isinstance(item, dict):
        return bad("not a JSON object", place, line)
    if isinstance(item, _Twice):
        raise UserError(f"{place}: key {join_names([item.key])!r} twice in one object; keep one of them")
    return item


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) == len(pairs):
        return item
    twice = _Twice(item)
    names = [name for name, _ in pairs]
    twice.key = next(name for name in names if names.count(name) > 1)
    return twice


_DECODER = json.JSONDecoder(object_pairs_hook=_object)  # json.loads would make one for each line
