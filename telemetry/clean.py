"""What goes into a record: readable text, without credentials, of a size that every backend takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from telemetry.redact import redact

LONGEST_TEXT = 20_000  # characters of a message; a line of a megabyte helps nobody
_LONGEST_FIELD = 4_000
_MOST_FIELDS = 64
_MOST_CHARACTERS = 40_000  # of all fields together: Loki refuses a record with 64 KB of them, for good


def text(value: object, longest: int = LONGEST_TEXT) -> str:
    """Text that can be encoded and holds no credentials, cut to `longest` characters with a note of what is missing."""
    shown: str = redact(_encodable(str(value)))
    return shown if len(shown) <= longest else f"{shown[:longest]}... ({len(shown) - longest} characters more)"


def fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record: numbers, text, and lists and mappings of these; whatever else there is becomes text.

    At most 64 fields and 40,000 characters are kept; `fields_left_out` says how many were not.
    """
    kept: dict[str, Any] = {}
    characters = 0
    for name, value in given.items():
        plain = redact(_plain(value))  # made plain first: an exception's text may hold a credential as well
        shown = plain if isinstance(plain, bool | int | float | None) else as_text(plain)
        size = len(str(shown))
        if size > _LONGEST_FIELD:
            plain, size = text(shown, _LONGEST_FIELD), _LONGEST_FIELD
        if len(kept) >= _MOST_FIELDS or characters + size > _MOST_CHARACTERS:
            break
        kept[text(name, 200)] = plain
        characters += size
    return kept if len(kept) == len(given) else {**kept, "fields_left_out": len(given) - len(kept)}


def attributes(given: Mapping[str, Any]) -> dict[str, str | bool | int | float]:
    """Fields that were cleaned, as OpenTelemetry takes them: lists and mappings become JSON."""
    return {
        name: value if isinstance(value, str | bool | int | float) else as_text(value) for name, value in given.items()
    }


def as_text(value: Any) -> str:
    """A plain value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
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
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
