"""MLflow's protocol, /invocations: JSON in each of its forms, or CSV. Each row is answered for its own text, or the request is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from artifacts import csv_rows
from deploy.serving.bodies import json_of, text_of
from deploy.serving.errors import RefusedError
from deploy.serving.limits import Limits
from deploy.serving.request_parsing import Questions, check, check_count, kind_of, some_of

_FORMS = "dataframe_split, dataframe_records, instances, inputs"


def parse(body: bytes, content_type: str, column: str, limits: Limits) -> Questions:
    """A request of MLflow's /invocations: JSON in one of its forms, or CSV."""
    kind, _, more = content_type.partition(";")
    kind, charset = kind.strip().lower(), re.search(r"charset\s*=\s*\"?([^\s\";]*)", more.lower())
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise RefusedError(415, f"charset {charset[1][:60]!r}; send UTF-8")
    if kind == "text/csv":
        questions = Questions(_of_csv(body, column, limits))
    elif kind in ("application/json", ""):
        questions = _of_json(json_of(body, limits), column, limits)
    else:
        raise RefusedError(415, f"content type {kind[:60]!r}; send application/json or text/csv")
    check(questions, column, limits)
    return questions


def _of_json(document: Any, column: str, limits: Limits) -> Questions:
    if not isinstance(document, dict):
        raise RefusedError(400, f"the body is a JSON {type(document).__name__}; send an object with one of {_FORMS}")
    names = [name for name in document if name in _READ]
    unknown = [name for name in document if name not in _READ and name != "params"]
    if len(names) != 1 or unknown:
        odd = f"unknown: {some_of(unknown)}; " if unknown else ""
        raise RefusedError(400, f"{odd}send one of {_FORMS}, and params")
    params = document.get("params") or {}
    if not isinstance(params, dict):
        raise RefusedError(422, "params: give an object of options")
    values = _READ[names[0]](document[names[0]], column, limits)
    return Questions([_cell(value, number) for number, value in enumerate(values, 1)], params)


def _split(document: Any, column: str, limits: Limits) -> list[Any]:
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        raise RefusedError(422, 'dataframe_split: give {"columns": [...], "data": [[...]]}')
    columns, rows = document.get("columns"), document["data"]
    if not isinstance(columns, list) or column not in columns:
        raise _no_column("dataframe_split", column)
    if columns.count(column) > 1:
        raise RefusedError(422, f"dataframe_split: the column {column!r} is given twice")
    check_count(len(rows), limits)
    place = columns.index(column)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list):
            raise RefusedError(422, f"dataframe_split: row {number} is {kind_of(row)} where a list is needed")
        if len(row) != len(columns):
            message = f"dataframe_split: row {number} has {len(row)} cells, where there are {len(columns)} columns"
            raise RefusedError(422, message)
    return [row[place] for row in rows]


def _records(document: Any, column: str, limits: Limits) -> list[Any]:
    if not isinstance(document, list):
        raise RefusedError(422, f'give a list of {{"{column}": "..."}}')
    check_count(len(document), limits)
    for number, row in enumerate(document, 1):
        if not isinstance(row, dict):
            raise RefusedError(422, f"row {number} is {kind_of(row)} where an object is needed")
        if column not in row:
            raise RefusedError(422, f"row {number} has no {column!r}")
    return [row[column] for row in document]


def _instances(document: Any, column: str, limits: Limits) -> list[Any]:
    if isinstance(document, list) and document and not isinstance(document[0], dict):
        check_count(len(document), limits)
        return document
    return _records(document, column, limits)


def _inputs(document: Any, column: str, limits: Limits) -> list[Any]:
    if not isinstance(document, dict):
        return [document] if isinstance(document, str) else _instances(document, column, limits)
    if document.get(column) is None:
        raise _no_column("inputs", column)
    lists = {name: values for name, values in document.items() if isinstance(values, list)}
    if len({len(values) for values in lists.values()}) > 1:
        raise RefusedError(422, "inputs: the columns are of different lengths")
    values = lists.get(column, [document[column]])
    check_count(len(values), limits)
    return values


_READ: dict[str, Callable[[Any, str, Limits], list[Any]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}


def _no_column(form: str, column: str) -> RefusedError:
    return RefusedError(422, f"{form}: the model needs the column {column!r}")


def _cell(value: Any, number: int) -> str:
    """Convert a value to the registered model's input: a missing value becomes an empty text, a number its written form."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    raise RefusedError(422, f"inputs: row {number} is {kind_of(value)} where a text is needed")


def _of_csv(body: bytes, column: str, limits: Limits) -> list[str]:
    found: list[str] = []
    try:
        for value in csv_rows.values(text_of(body), column):
            found.append(value)
            if len(found) > limits.inputs:
                raise RefusedError(413, f"more than {limits.inputs} rows, which one request may have; send several")
    except csv_rows.CsvError as error:
        raise RefusedError(422, f"the CSV: {error}") from None
    return found
