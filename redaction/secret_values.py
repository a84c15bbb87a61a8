"""Values of secrets that the environment holds, in every form in which a text may show them."""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from redaction.secret_names import is_headers, is_variable, strength, words

SHORTEST = 6  # a shorter value stands in too many words to be replaced everywhere
_LONGEST_NUMBER = 7  # digits: a shorter number is too often another one
# Placeholders that are not real passwords, and common words in other texts.
_EVERYDAY = {
    "admin", "basic", "bearer", "changeme", "default", "disabled", "docker", "enabled", "example", "glassformer", "grafana", "localhost",
    "mlflow", "nobody", "optional", "passwd", "password", "postgres", "prefer", "public", "required", "secret", "string", "system",
    "tokens",
    "verify-full",
}  # fmt: skip
# Of an endpoint's path: api, otlp, v1, v1beta2
_PATH_WORDS = re.compile(r"[a-z]{1,15}|v\d+([a-z]+\d*)?", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://([^\s/:@]*):([^\s]+)@", re.IGNORECASE)
_PAIR = re.compile(r"([A-Za-z][\w-]*)\s*=\s*([^\s;&,'\"]+)")
_known: tuple[Mapping[Any, Any], tuple[str, ...]] = {}, ()  # an environment, and what is to be hidden of it


def secrets() -> tuple[str, ...]:
    """Texts to hide everywhere, longest first so that none is hidden only in part."""
    global _known
    # What os.environ keeps its variables in: looking whether one has changed costs nothing, whereas decoding and judging
    # all of them for every text took longer than the rest of a log record together.
    kept = getattr(os.environ, "_data", None)
    before, found = _known
    if kept is None or kept != before:
        found = _values(tuple((name, value) for name, value in os.environ.items() if _suspicious(name, value)))
        _known = dict(kept or {}), found
    return found


def looks_random(text: str, shortest: int = SHORTEST) -> bool:
    """Whether a text reads as a secret and not as a word: letters with digits, or a long one of mixed case."""
    if len(text) < shortest or " " in text:
        return False
    has_digit, has_letter = any(map(str.isdigit, text)), any(map(str.isalpha, text))
    return (has_digit and has_letter) or (len(text) >= 16 and text.lower() != text != text.upper())


def _suspicious(name: str, value: str) -> bool:
    return len(value) >= SHORTEST and ("://" in value or "=" in value or is_headers(name) or is_variable(name))


@lru_cache(maxsize=4)
def _values(named: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found = {part for name, value in named for part in _parts(name, value)}
    found |= set(_basic(dict(named)))
    whole = {value for value in found if not _everyday(value)}
    forms = {form for value in whole for form in _forms(value)}
    return tuple(sorted((form for form in forms if len(form) >= SHORTEST), key=lambda form: (-len(form), form)))


def _everyday(value: str) -> bool:
    return (
        len(value) < SHORTEST
        or value.lower() in _EVERYDAY
        or (value.isdigit() and len(value) <= _LONGEST_NUMBER)
        or (value.startswith(("/", "./", "~/")) and "\n" not in value and _is_path(value))
    )


def _is_path(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def _parts(name: str, value: str) -> Iterator[str]:
    """The secret parts of a variable: all of it, a header, credentials in a URL, or named values in its text."""
    if is_headers(name):
        yield from _headers(value)
    elif is_variable(name):
        yield from (value, value.strip())
        # A key of many lines is shown by one of them by much that prints it.
        yield from (line.strip() for line in value.splitlines() if "\n" in value)
    if _URL.search(value):
        yield from _of_urls(name, value)
    if "=" in value and not is_headers(name):
        yield from (given for key, given in _PAIR.findall(value) if strength(key) == 2)


def _headers(value: str) -> Iterator[str]:
    for part in value.split(","):
        text = part.partition("=")[2].strip()
        for given in {text, unquote(text).strip()}:
            scheme, _, rest = given.partition(" ")
            yield from (given, rest.strip())
            if scheme.lower() == "basic":
                yield from _basic_password(rest.strip())


def _basic_password(text: str) -> Iterator[str]:
    try:
        yield base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return


def _of_urls(name: str, value: str) -> Iterator[str]:
    if match := _URL_PASSWORD.search(value):
        user, password = match[1], match[2]
        yield from (password, unquote(password), _base64(f"{unquote(user)}:{unquote(password)}"))
    try:
        url = urlsplit(value.strip())
    except ValueError:
        return
    if url.username and not url.password and looks_random(url.username, 12):
        yield url.username
    for key, given in [*parse_qsl(url.query), *parse_qsl(url.fragment)]:
        if strength(key) or words(key)[-1:] == ["KEY"]:
            yield given
    name_words = words(name)
    if url.scheme in ("http", "https") and (
        {"ENDPOINT", "ENDPOINTS", "WEBHOOK", "WEBHOOKS"} & set(name_words) or name_words[-1:] == ["URI"]
    ):
        yield from (part for part in url.path.split("/") if not _PATH_WORDS.fullmatch(part) and looks_random(part, 8))


def _basic(named: Mapping[str, str]) -> Iterator[str]:
    """Basic-authorization tokens for users and passwords that stand in two variables."""
    for name, value in named.items():
        if not is_variable(name):
            continue
        stem = re.sub(r"_?(PASSWORD|PASSWD|PASS|PWD|PW|TOKEN)$", "", name, flags=re.IGNORECASE)
        for end in ("_USERNAME", "_USER", "USER", "_LOGIN"):
            if user := os.environ.get(f"{stem}{end}"):
                yield _base64(f"{user}:{value}")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _forms(value: str) -> set[str]:
    encoded = value.encode("utf-8", "surrogateescape")
    percent = {quote(encoded, safe=""), quote(encoded), quote_plus(encoded)}
    return {
        value,
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        html.escape(value),
        _base64(value),
        *percent,
        *(re.sub(r"%[0-9A-F]{2}", lambda one: one[0].lower(), form) for form in percent),
    }
