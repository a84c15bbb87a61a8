"""Strict CSV: every row has as many cells as the header, or it is an error that names the row. Shared by the server and `tasks.predict`.

A lenient reader cuts a text at its first comma, pads a short row with nothing, or takes a hundred rows for one text: each of these
answers a question that was never asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

COLUMNS = 1_000  # of one table: a header is read as a whole before it can be checked
_LONGEST = 1 << 30  # characters of a cell; the library's own bound is shorter than a text may be


class CsvError(ValueError):
    """A text that is not CSV; the message names the row and the remedy."""


def values(text: str, column: str) -> Iterator[str]:
    """The cells of one column, row by row, as they stand. CsvError at the first row that is wrong; nothing is read beyond it."""
    csv.field_size_limit(_LONGEST)
    # A blank line at the end is not a row; elsewhere it could be an empty text or a mistake, so it is an error.
    text = text.removeprefix("\ufeff").rstrip("\r\n")
    # A carriage return ends a row only in a file without line feeds; otherwise it would split a text in two.
    rows = csv.reader(io.StringIO(text, newline="\n" if "\n" in text else ""), strict=True)
    header = _next(rows, "the header")
    place = _place(header or [], column)
    number = 0
    while (row := _next(rows, f"row {number + 1}")) is not None:
        number += 1
        if len(row) != len(header or []):
            raise CsvError(_uneven(row, number, header or []))
        yield row[place]


def _next(rows: Iterator[list[str]], name: str) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        message = str(error)
        if "end of data" in message:
            message = "a quotation mark is not closed"
        elif "new-line character" in message:
            message = "a line break stands outside quotation marks; put such a text into quotation marks"
        elif "expected after" in message:
            message = "text follows a closing quotation mark; within a text in quotation marks, double each mark"
        raise CsvError(f"{name}: {message}") from None


def _place(header: list[str], column: str) -> int:
    if len(header) > COLUMNS:
        raise CsvError(
            f"the header has {len(header)} columns, where there may be {COLUMNS}; send the column {column!r} alone"
        )
    seen = set[str]()
    for name in header:
        if name in seen:
            raise CsvError(f"the header names {name[:60]!r} twice; give each column a name of its own")
        seen.add(name)
    if column not in seen:
        shown = ", ".join(repr(name[:60]) for name in header[:5]) or "nothing"
        raise CsvError(f"the model needs the column {column!r}; the header names {shown}")
    return header.index(column)


def _uneven(row: list[str], number: int, header: list[str]) -> str:
    if not row:
        return f'row {number} is blank; write "" for an empty text, or leave the line out'
    message = f"row {number} has {len(row)} cells, where the header has {len(header)}"
    return f"{message}; put a text with commas into quotation marks" if len(row) > len(header) else message
