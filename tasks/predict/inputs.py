"""Inputs of a prediction: words of the command line, files, or the lines of standard input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from artifacts import csv_rows
from tasks.predict import PredictError

TOGETHER = 64  # lines that are answered at once in batch mode


@dataclass(frozen=True)
class Question:
    """One input: the task's input, and its readable name (a text itself, a file's path)."""

    content: Any
    name: str


def questions_from(texts: Sequence[str], files: Sequence[str], kind: str) -> list[Question]:
    """Inputs from the command line: `kind` is the task's input column. Images are named by their paths."""
    if kind == "image":
        return [Question(content_of(path), path) for path in [*texts, *files]]
    return [Question(text, text) for text in [*texts, *(text_of(path) for path in files)]]


def lines(stream: IO[str], kind: str, together: int) -> Iterator[list[Question]]:
    """Inputs from a stream, one a line, `together` at a time."""
    try:
        while some := [line.rstrip("\r\n") for line in islice(stream, together)]:
            yield questions_from(some, [], kind)
    except UnicodeDecodeError as error:
        raise PredictError(f"standard input is not UTF-8: {error.reason} at byte {error.start}") from None


def rows_of(path: str, kind: str) -> list[Question]:
    """Inputs from the rows of a file: the column `kind` of a .csv, or of the objects of a .jsonl, whose lines may be texts too."""
    if kind == "image":
        raise PredictError(f"--rows {path}: this model is asked images; give their files")
    suffix, text = Path(path).suffix.lower(), text_of(path)
    try:
        if suffix == ".csv":
            values: list[str] = list(csv_rows.values(text, kind))
        elif suffix in (".jsonl", ".ndjson"):
            values = [_of_json(line, number, kind) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        else:
            raise PredictError(f"--rows {path}: give a .csv or a .jsonl; --file asks a whole file as one text")
    except csv_rows.CsvError as error:
        raise PredictError(f"{path}: {error}") from None
    except ValueError as error:
        raise PredictError(f"{path}: {error}") from None
    if not values:
        raise PredictError(f"{path}: no rows")
    return [Question(value, value) for value in values]


def _of_json(line: str, number: int, column: str) -> str:
    try:
        given = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is not JSON: {error}") from None
    value = given.get(column) if isinstance(given, dict) else given
    if not isinstance(value, str):
        raise ValueError(f'line {number} has no text; write {{"{column}": "..."}} or "..."')
    return value


def text_of(path: str) -> str:
    """A file's text."""
    try:
        return content_of(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise PredictError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def content_of(path: str) -> bytes:
    """A file's content."""
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise PredictError(f"{path}: {error.strerror or error}") from None
