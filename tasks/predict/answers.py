"""Answers as people and programs read them: text alone, a table, CSV, or a JSON object a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.predict.inputs import Question

FORMATS = ("text", "table", "csv", "json")
_SHOWN = 40  # characters of a text in a table
_HIDDEN = ("truncated", "tokens_read", "tokens_given")  # of a table: a line at its end says how many


class Writer:
    """Lines of one format, for batch after batch. `column` names the inputs."""

    def __init__(self, form: str, column: str) -> None:
        self.form, self.column = form, column
        self.rows, self.truncated = 0, 0
        self._widths: list[int] = []

    def lines(self, questions: Sequence[Question], answers: Sequence[Mapping[Any, Any]]) -> Iterator[str]:
        """The answers to some inputs. The first batch brings the header, if the format has one."""
        first = self.rows == 0
        self.rows += len(questions)
        self.truncated += sum(bool(row.get("truncated")) for row in answers)
        if self.form == "text":
            yield from (str(row["prediction"]) for row in answers)
            return
        rows = [{self.column: one.name, **row} for one, row in zip(questions, answers, strict=True)]
        if self.form == "json":
            yield from (json.dumps(row, ensure_ascii=False, default=_plain) for row in rows)
        elif self.form == "csv":
            yield from self._csv(rows, first)
        else:
            yield from self._table(rows, first)

    def note(self) -> str:
        """A sentence on texts not read to their end; empty for none."""
        if not self.truncated:
            return ""
        return (
            f"{self.truncated} of {self.rows} texts are longer than the model reads and were answered from a part; "
            "--format csv or json shows tokens_read of tokens_given"
        )

    def _csv(self, rows: Sequence[Mapping[str, Any]], first: bool) -> Iterator[str]:
        if first and rows:
            yield _csv_line(list(rows[0]))
        yield from (_csv_line([_cell(value) for value in row.values()]) for row in rows)

    def _table(self, rows: Sequence[Mapping[str, Any]], first: bool) -> Iterator[str]:
        table = [[_short(value) for name, value in row.items() if name not in _HIDDEN] for row in rows]
        if first and rows:
            table.insert(0, [name for name in rows[0] if name not in _HIDDEN])
            self._widths = [0] * len(table[0])
        self._widths = [
            max(width, *map(len, cells)) for width, cells in zip(self._widths, zip(*table, strict=True), strict=True)
        ]
        for row in table:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)).rstrip()


def _csv_line(cells: list[Any]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, quoting=csv.QUOTE_NONNUMERIC, lineterminator="").writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else value


def _short(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):  # classes
        return ", ".join(f"{one['label']} {one['probability']:.4f}" for one in value)
    if isinstance(value, list):
        return f"{len(value)} numbers"
    text = f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _plain(value: Any) -> Any:
    """A number or array of numpy as JSON has it."""
    return value.tolist()
