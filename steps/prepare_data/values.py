"""Values of the user's columns as texts, labels and groups; a row of them, checked.

A label is text, a number, a truth value or a date. NaN, None and empty text are a missing label, not a class. Numbers of a
column in which all are whole are integers, also where missing values made them floats (pandas writes 1.0 for 1 then).
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from artifacts.errors import UserError
from steps.prepare_data.columns import ABSENT, Columns, value_at
from steps.prepare_data.given_splits import SPLIT_NAMES, given_split
from steps.prepare_data.rows import Bad, Row, bad
from steps.prepare_data.spans import SpansError, dump_spans, parse_spans

_DATES = (datetime.date, datetime.time)
_AS_TEXT = (decimal.Decimal, datetime.timedelta)
_NOT_ONE_VALUE = (list, tuple, dict, set, bytes, bytearray, memoryview)


class Numbers:
    """Decides for each column whether its floats are integers; looks at the whole column when the first float comes."""

    def __init__(self, values: Callable[[str], Iterator[Any]]) -> None:
        self._values = values
        self._whole: dict[str, bool] = {}

    def text(self, value: float, column: str) -> str:
        """A float of this column as a label."""
        if not value.is_integer():  # infinity too
            self._whole[column] = False
            return str(value)
        if column not in self._whole:
            floats = (other for other in self._values(column) if isinstance(other, float) and not math.isnan(other))
            self._whole[column] = all(other.is_integer() for other in floats)
        return str(int(value)) if self._whole[column] else str(value)


class _FloatsAsTheyStand(Numbers):
    def __init__(self) -> None:
        super().__init__(lambda column: iter(()))

    def text(self, value: float, column: str) -> str:
        return str(value)


AS_THEY_STAND = _FloatsAsTheyStand()


def row_of(values: Mapping[str, Any], columns: Columns, place: str, numbers: Numbers = AS_THEY_STAND) -> Row | Bad:
    """A row of columns by name, checked, or Bad with the reason. UserError for a value of another kind."""
    text = _text(value_at(values, columns.text), columns.text, "text_column", place)
    if text is None:
        return bad("no text", place, _as_json(values))
    target = None
    if columns.target:
        target = _text(value_at(values, columns.target), columns.target, "target_column", place)
        if target is None:
            return bad("no target", place, _as_json(values))
    label = _label(values, columns.label, "label_column", place, numbers) if columns.label else None
    group = _label(values, columns.group, "group_column", place, numbers) if columns.group else None
    split = _split(values, columns.split, place) if columns.split else None
    try:
        marked = _spans(value_at(values, columns.spans), text) if columns.spans else None
    except SpansError as error:
        return bad(str(error), place, _as_json(values))
    return Row(place, text, label, group, target, spans=marked, split=split)


def _text(value: Any, column: str, parameter: str, place: str) -> str | None:
    """The value if it is text, None for a missing one or a number."""
    if isinstance(value, str):
        return value
    _refuse_many(value, column, parameter, place, "text")
    return None


def _label(values: Mapping[str, Any], column: str, parameter: str, place: str, numbers: Numbers) -> str | None:
    value = value_at(values, column)
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value is ABSENT:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    _refuse_many(value, column, parameter, place, "one value")
    if type(value).__name__ in ("NAType", "NaTType") or value != value:  # NaN alone is not itself
        return None
    if isinstance(value, float):
        return numbers.text(value, column)
    if isinstance(value, _DATES):
        return str(value.isoformat())
    if isinstance(value, _AS_TEXT):
        return str(value)
    raise UserError(f"{place}: {parameter} {column!r} holds {_kind(value)}; give text, a number or a date")


def _split(values: Mapping[str, Any], column: str, place: str) -> str:
    value = value_at(values, column)
    split = given_split(value) if isinstance(value, str) else None
    if split is None:
        shown = "nothing" if value is None or value is ABSENT else repr(value)[:60]
        raise UserError(
            f"{place}: split_column {column!r} holds {shown}, which is no split; known: {', '.join(SPLIT_NAMES)}"
        )
    return split


def _refuse_many(value: Any, column: str, parameter: str, place: str, wanted: str) -> None:
    if isinstance(value, _NOT_ONE_VALUE):
        raise UserError(
            f"{place}: {parameter} {column!r} holds {_kind(value)}, not {wanted}: {str(value)[:60]}; give another column "
            "(one within it is named with dots, column.name) or convert it"
        )


def _kind(value: Any) -> str:
    known: dict[type, str] = {list: "a list", tuple: "a list", dict: "an object", bytes: "bytes"}
    return known.get(type(value), f"a value of type {type(value).__name__}")


def _spans(value: Any, text: str) -> str | None:
    """A row's spans as a corpus keeps them; None for a text without annotation."""
    return None if value in (None, "") or value is ABSENT else dump_spans(parse_spans(value, text))


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, default=str)
