"""What a request asks: bodies read within their bounds, in MLflow's forms and in ours."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from deploy.serving.errors import RefusedError
from deploy.serving.limits import Limits

_FORMS = "dataframe_split, dataframe_records, instances, inputs"


@dataclass(frozen=True)
class Asked:
    """Questions and how they are to be answered."""

    texts: list[str]  # texts, or images in base64
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Optional(_Form):
    options: dict[str, Any] = Field({}, description="How to answer: the options of `GET /models`")


class Question(_Optional):
    """One question or many, and the task's options."""

    inputs: str | list[str] = Field(description="A text, or many")


class Generation(Question):
    """What is to be continued or translated."""

    stream: bool = Field(False, description="Answer in pieces, as server-sent events; of one text alone")


class Pictures(_Optional):
    """Images to be classified."""

    images: str | list[str] = Field(description="Contents of image files in base64: one, or many")


class Look(_Form):
    """A text whose attention is to be shown."""

    input: str = Field(description="A text; its beginning is looked at")


FORMS: dict[str, type[BaseModel]] = {  # what each address below /v1 takes
    "classify": Question, "embed": Question, "translate": Generation, "generate": Generation, "images": Pictures,
    "attention": Look,
}  # fmt: skip


async def read(request: Request, limits: Limits) -> bytes:
    """The body. 413 where it is too large, 408 where it does not come."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limits.body:
        raise too_large(limits)
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.upload):
            async for part in request.stream():
                size += len(part)
                if size > limits.body:
                    raise too_large(limits)
                parts.append(part)
    except TimeoutError:
        raise RefusedError(
            408, f"the body did not come within {limits.upload:g} s", headers={"connection": "close"}
        ) from None
    except ClientDisconnect:
        raise RefusedError(400, "the body was not sent to its end") from None
    return b"".join(parts)


def too_large(limits: Limits) -> RefusedError:
    """413."""
    return RefusedError(413, f"the body is larger than {limits.body} bytes; send less at a time")


def json_of(body: bytes) -> Any:
    """JSON, strictly: no NaN, nothing that is too deep, UTF-8."""
    text = _text(body)
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise RefusedError(
            400, f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise RefusedError(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def of_form(form: type[BaseModel], body: bytes, limits: Limits) -> Asked:
    """A request of /v1."""
    try:
        given = form.model_validate(json_of(body), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the body"
        raise RefusedError(422, f"{place}: {problem['msg']}") from None
    inputs: Any = next(getattr(given, name) for name in ("images", "inputs", "input") if hasattr(given, name))
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    asked = Asked(texts, getattr(given, "options", {}), getattr(given, "stream", False))
    check(asked, "image" if isinstance(given, Pictures) else "text", limits)
    if asked.stream and len(texts) != 1:
        raise RefusedError(422, "stream: one text is answered in pieces; send one, or leave stream out")
    return asked


def invocation(body: bytes, content_type: str, column: str, limits: Limits) -> Asked:
    """A request of MLflow's /invocations: JSON in one of its forms, or CSV."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/csv":
        asked = Asked(_of_csv(body, column))
    elif kind in ("application/json", ""):
        asked = _of_json(json_of(body), column)
    else:
        raise RefusedError(415, f"content type {kind[:60]!r}; send application/json or text/csv")
    check(asked, column, limits)
    return asked


def check(asked: Asked, column: str, limits: Limits) -> None:
    """Not nothing, not too much, and something that can be asked."""
    if not asked.texts:
        raise RefusedError(422, "inputs: nothing is asked; send a text")
    if len(asked.texts) > limits.inputs:
        raise RefusedError(413, f"{len(asked.texts)} inputs, where one request may have {limits.inputs}; send several")
    characters = sum(map(len, asked.texts))
    if characters > limits.characters and column != "image":
        raise RefusedError(
            413, f"{characters} characters, where one request may have {limits.characters}; send several"
        )
    for place, text in enumerate(asked.texts, 1):
        try:
            text.encode()
            if column == "image":
                base64.b64decode(text, validate=True)
        except UnicodeEncodeError:
            raise RefusedError(422, "inputs: a text holds half a character (a lone surrogate)") from None
        except ValueError:
            raise RefusedError(422, f"image {place} is not base64") from None


def _of_json(given: Any, column: str) -> Asked:
    if not isinstance(given, dict):
        raise RefusedError(400, f"the body is a JSON {type(given).__name__}; send an object with one of {_FORMS}")
    names = [name for name in given if name in _FORMS.split(", ")]
    unknown = [str(name)[:60] for name in given if name not in names and name != "params"]
    if len(names) != 1 or unknown:
        odd = f"unknown: {', '.join(unknown)}; " if unknown else ""
        raise RefusedError(400, f"{odd}send one of {_FORMS}, and params")
    params = given.get("params") or {}
    if not isinstance(params, dict):
        raise RefusedError(422, "params: give an object of options")
    return Asked([_cell(value) for value in _READ[names[0]](given[names[0]], column)], params)


def _split(given: Any, column: str) -> list[Any]:
    if not isinstance(given, dict) or not isinstance(given.get("data"), list):
        raise RefusedError(422, 'dataframe_split: give {"columns": [...], "data": [[...]]}')
    columns = given.get("columns")
    if not isinstance(columns, list) or column not in columns:
        raise _no_column("dataframe_split", column)
    place = columns.index(column)
    return [_at(row, place, "dataframe_split") for row in given["data"]]


def _records(given: Any, column: str) -> list[Any]:
    if not isinstance(given, list):
        raise RefusedError(422, f'give a list of {{"{column}": "..."}}')
    return [_at(row, column, "a record") for row in given]


def _instances(given: Any, column: str) -> list[Any]:
    if isinstance(given, list) and given and not isinstance(given[0], dict):
        return given
    return _records(given, column)


def _inputs(given: Any, column: str) -> list[Any]:
    if isinstance(given, dict):
        values = given.get(column)
        if values is None:
            raise _no_column("inputs", column)
        return values if isinstance(values, list) else [values]
    return [given] if isinstance(given, str) else _instances(given, column)


_READ: dict[str, Callable[[Any, str], list[Any]]] = {
    "dataframe_split": _split, "dataframe_records": _records, "instances": _instances, "inputs": _inputs,
}  # fmt: skip


def _at(row: Any, place: int | str, form: str) -> Any:
    if isinstance(row, dict) and place in row:
        return row[place]
    if isinstance(row, list) and isinstance(place, int) and place < len(row):
        return row[place]
    raise RefusedError(422, f"{form}: a row has no {place!r}")


def _no_column(form: str, column: str) -> RefusedError:
    return RefusedError(422, f"{form}: the model needs the column {column!r}")


def _cell(value: Any) -> str:
    """As the registered model takes it: a missing value is an empty text, a number the text that it is written as."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    raise RefusedError(422, f"inputs: a {type(value).__name__} where a text is needed")


def _of_csv(body: bytes, column: str) -> list[str]:
    try:
        rows = list(csv.DictReader(io.StringIO(_text(body), newline=""), strict=True))
    except csv.Error as error:
        raise RefusedError(400, f"the body is not CSV: {error}") from None
    if not rows or column not in rows[0]:
        raise _no_column("the CSV", column)
    return [row[column] or "" for row in rows]
