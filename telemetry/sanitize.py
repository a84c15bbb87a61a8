"""Sanitise record fields: printable text without credentials, of a size that every backend accepts.

Control characters are written as escapes everywhere: a message could otherwise overwrite the terminal of its reader
(`logcli`, `cat`). Newlines and tabs stay, as a stack trace is made of them; a log file has them escaped
by JSON, a terminal sees them escaped, and in Loki a record is one entry whatever it holds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from redaction import redact

LONGEST_TEXT = 20_000  # characters of a message; a line of a megabyte helps no reader
_LONGEST_FIELD = 4_000
_LONGEST_NAME = 200
_MOST_FIELDS = 64
_MOST_BYTES = 48_000  # of all fields together, names included: Loki refuses a record with 64 KB of them, for good
# Control characters, and those that turn the direction of writing, so that text reads as something else than it is.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def text(value: object, longest: int = LONGEST_TEXT) -> str:
    """Text that can be encoded and holds no credentials, cut to `longest` characters with a note of the number cut."""
    shown: str = redact(_encodable(str(value)))
    return shown if len(shown) <= longest else f"{shown[:longest]}... ({len(shown) - longest} characters more)"


def fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record: numbers, text, and lists and mappings of these; all other values become text.

    At most 64 fields and 48,000 bytes are kept; `fields_left_out` counts the others.
    """
    kept: dict[str, Any] = {}
    taken = 0
    for name, value in values.items():
        plain = redact(_plain(value))  # made plain first: an exception's text may hold a credential as well
        shown = plain if isinstance(plain, bool | int | float | None) else as_text(plain)
        if len(str(shown)) > _LONGEST_FIELD:
            plain = shown = text(shown, _LONGEST_FIELD)
        name = text(name, _LONGEST_NAME) or "unnamed"  # OpenTelemetry drops a field without a name
        size = len(f"{name}{shown}".encode())
        if len(kept) >= _MOST_FIELDS or taken + size > _MOST_BYTES:
            break
        kept[name] = plain
        taken += size
    return kept if len(kept) == len(values) else {**kept, "fields_left_out": len(values) - len(kept)}


def attributes(values: Mapping[str, Any]) -> dict[str, str | bool | int | float]:
    """Sanitised fields in the form that OpenTelemetry accepts: lists and mappings become JSON, large integers text."""
    return {
        name: value if isinstance(value, str | bool | float) or _fits(value) else as_text(value)
        for name, value in values.items()
    }


def _fits(value: Any) -> bool:
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def as_text(value: Any) -> str:
    """A plain value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))  # JSON has no NaN; nor numpy's own float
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _plain(value.item())  # a number of numpy or torch
    return _encodable(str(value))


def _encodable(value: str) -> str:
    """Bytes that were no UTF-8 stand in Python's text as lone surrogates, which nothing can encode again."""
    value = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
