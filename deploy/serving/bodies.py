"""Bodies: read within their bounds, and weighed before anything is built of them.

Refusing must cost next to nothing, for one process holds all connections. A megabyte can spell 330,000 lists, which take a fifth of
a second to build: so values are counted first, in bytes.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request

from deploy.serving.errors import RefusedError
from deploy.serving.limits import Limits

_LONGEST_NUMBER = 100  # characters; to read one of thousands takes time that grows with its square
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_BOM = "\ufeff"


async def read(request: Request, limits: Limits) -> bytes:
    """The body. 413 where it is too large, 408 where it does not come."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.body:
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


def text_of(body: bytes) -> str:
    """UTF-8; a byte order mark in front is no fault."""
    try:
        return body.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None


def json_of(body: bytes, limits: Limits) -> Any:
    """JSON, strictly: UTF-8, not too deep, no NaN, no number beyond floating point, no name given twice."""
    text = text_of(body)
    if _is_heavy(body, limits.values):
        raise RefusedError(413, f"more than {limits.values} values in one body; send less at a time")
    is_long = b"0" * _LONGEST_NUMBER in body.translate(_ZEROS)
    integer = _integer if is_long else int  # a callback doubles the time that many numbers take
    try:
        return json.loads(
            text, parse_constant=_no_number, parse_int=integer, parse_float=_float, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise RefusedError(
            400, f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise RefusedError(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise RefusedError(400, f"the body is not JSON that can be read: {error}") from None


def _is_heavy(body: bytes, most: int) -> bool:
    """Whether it holds more values than `most`: each but the first follows a comma, a colon or a bracket."""
    if _marks(body) <= most:
        return False
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"")  # quotation marks within texts
    if bare.count(b'"') > 2 * most:  # each text has two, and follows a mark of its own
        return True
    return _marks(b"".join(bare.split(b'"')[::2])) > most


def _marks(data: bytes) -> int:
    return sum(data.count(mark) for mark in (b",", b":", b"[", b"{"))


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} characters")
    return int(text)


def _float(text: str) -> float:
    value = float(text) if len(text) <= _LONGEST_NUMBER else float("inf")
    if value - value != 0:
        raise ValueError(f"{text[:40]} is beyond the numbers of floating point")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen = set[str]()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add gives None
        raise ValueError(f"{twice[:60]!r} is given twice")
    return made
