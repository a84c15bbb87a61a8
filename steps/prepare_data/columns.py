"""Columns of the user's rows: their roles, the lookup of values by name, and one error for all missing columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from artifacts.errors import UserError

ABSENT: Final = object()  # a row without the column, other than a column without a value
_LISTED = 20  # columns or files that an error names


@dataclass(frozen=True)
class Columns:
    """Names of the columns, by their part in a row; the empty string for none."""

    text: str
    label: str = ""
    group: str = ""
    target: str = ""
    spans: str = ""
    split: str = ""
    rows: str = "line"  # of a text file: each line, each paragraph or the file is a row

    def parameter_columns(self) -> list[tuple[str, str]]:
        """Parameter and column of each that there is."""
        parts = ("text", "target", "spans", "label", "group", "split")
        pairs = [(f"{part}_column", getattr(self, part)) for part in parts]
        return [(parameter, column) for parameter, column in pairs if column]


def value_at(values: Mapping[str, Any], column: str) -> Any:
    """A row's value: of the column with this very name, else of the nested one (`translation.en`); ABSENT for none."""
    if column in values:
        return values[column]
    inner: Any = values
    for part in column.split("."):
        if not isinstance(inner, dict) or part not in inner:
            return ABSENT
        inner = inner[part]
    return inner


def nested_names(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every column of a row, nested ones with dots."""
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from nested_names(value, f"{prefix}{name}.")


@dataclass(frozen=True)
class Missing:
    """Columns that a file lacks, as pairs of parameter and column, and those that it has."""

    file: str
    wanted: tuple[tuple[str, str], ...]
    names: tuple[str, ...]


def missing_in(file: Path | str, names: Iterable[str], columns: Columns) -> list[Missing]:
    """The columns that are not among a file's names; the empty list if all are there."""
    names = list(names)
    wanted = tuple(pair for pair in columns.parameter_columns() if pair[1] not in names)
    return [Missing(str(file), wanted, tuple(names))] if wanted else []


def refuse_missing(missing: Iterable[Missing]) -> None:
    """One UserError for all columns that are missing in all files; files that lack the same are named together."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for each in missing:
        files = alike.setdefault((each.wanted, each.names), [])
        if each.file not in files:
            files.append(each.file)
    if alike:
        raise UserError("; ".join(_sentence(files, wanted, names) for (wanted, names), files in alike.items()), 2)


def _sentence(files: list[str], wanted: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> str:
    lacking = ", ".join(f"{column!r} ({parameter})" for parameter, column in wanted)
    known = join_names(names) or "none"
    quoted = any(name in (f'"{column}"', f"'{column}'") for name in names for _, column in wanted)
    hint = "; its header is quoted: set quoting=csv" if quoted else ""
    return f"{join_names(files)}: no column{'s' if len(wanted) > 1 else ''} {lacking}; it has {known}{hint}"


def join_names(names: Iterable[str], most: int = _LISTED) -> str:
    """`a, b, c and 4 more`, each name on one line and not endless."""
    names = [" ".join(name[:300].split()) for name in names]
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def refuse_twice(file: Path | str, names: Iterable[str]) -> None:
    """UserError for a header that has a name twice: which of the two is meant cannot be known."""
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise UserError(f"{file}: column {join_names(map(repr, twice))} twice in its header; rename or remove one", 2)
