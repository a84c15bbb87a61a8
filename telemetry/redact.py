"""The one place where credentials are taken out of what we write: logs, spans, parameters, manifests, reports.

Hidden are the values of environment variables that look secret by their name, the passwords in URLs that the
environment holds, and in any text: credentials in a URL, in a query string and in an Authorization header, what is named
as a password or key (`password=...`, `{"api_key": ...}`), private keys, and tokens that are known by their first letters.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"
_SHORTEST = 6  # a shorter value stands in too many words to be replaced everywhere
_SECRET_NAME = re.compile(
    r"TOKEN(?!I[ZS])|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ENCRYPTION_?KEY"
    r"|CONNECTION_?STRING|COOKIE|(^|_)(KEY|KEYS|PWD|AUTH|DSN)$",
    re.IGNORECASE,
)
# The shell's folders, and numbers of tokens that a model may take.
_NOT_SECRET_NAME = re.compile(r"^(OLD)?PWD$|(^|_)(MAX|MIN|NUM)_(\w+_)?TOKENS$", re.IGNORECASE)
_HEADERS_NAME = re.compile(r"_HEADERS$", re.IGNORECASE)  # OTEL_EXPORTER_OTLP_HEADERS=authorization=...,x-scope=...
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s]+)@", re.IGNORECASE)

_IN_URL = re.compile(r"(?P<scheme>://)[^\s/'\"]*@")  # up to the last @ before the path
# A password with a bare slash is no URL, yet people write it; `host:8080/path@x` is not meant.
_IN_BROKEN_URL = re.compile(r"(?P<scheme>://)[^\s/@:'\"]*:(?!\d{1,5}(?:[/\s]|$))[^\s@'\"]*@")
_IN_QUERY = re.compile(
    r"(?P<name>[?&;](?:[a-z0-9_-]*(?:token|secret|password|passwd|signature|credential|api_?key|access_?key)"
    r"|sig|key|pwd|auth)=)[^&\s'\"#;]+",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:basic|bearer|token|digest)\s+)?[^\s'\",;]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<name>\b(?:bearer|basic)\s+)(?=[^\s'\",;]*[0-9=])[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
# What says itself that it is secret. `token` alone does not: here it is mostly a piece of text.
_NAMED = (
    r"(?:[a-z0-9]+[_-])*(?:password|passwd|passphrase|secret|secret[_-]?(?:access[_-]?)?key|api[_-]?key|access[_-]?key"
    r"|account[_-]?key|private[_-]?key|(?:access|auth|refresh|bearer)[_-]?token|authorization)"
)
_NAMED_VALUE = re.compile(rf"(?P<name>\b{_NAMED}['\"]?\s*(?:=|:(?!//))\s*['\"]?)[^\s'\",;&#)}}\]]+", re.IGNORECASE)
_NAMED_KEY = re.compile(_NAMED, re.IGNORECASE)
_MAY_NAME = ("passw", "passphrase", "secret", "key", "token")
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(-----END|$)", re.DOTALL)
_KNOWN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}"
    r"|sk-[\w-]{16,}|A[KS]IA[A-Z0-9]{12,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_known: tuple[Mapping[Any, Any], tuple[str, ...]] = {}, ()  # an environment, and what is to be hidden of it


def redact(value: Any) -> Any:
    """The same value with credentials replaced by `***`: in strings, and in those within lists, tuples and mappings."""
    if isinstance(value, str):
        return _redacted(value)
    if isinstance(value, Mapping):
        return {redact(key): HIDDEN if _is_secret(key, item) else redact(item) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [redact(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list | set | frozenset):
        return type(value)(redact(item) for item in value)
    return value


def _redacted(text: str) -> str:
    for secret in secrets():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    if "://" in text:
        text = _IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
        text = _IN_BROKEN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text:
        text = _IN_QUERY.sub(rf"\g<name>{HIDDEN}", text)
    lowered = text.lower()
    if "authorization" in lowered:
        text = _HEADER.sub(rf"\g<name>{HIDDEN}", text)
    if "bearer" in lowered or "basic" in lowered:
        text = _BEARER.sub(rf"\g<name>{HIDDEN}", text)
    if ("=" in text or ":" in text) and any(part in lowered for part in _MAY_NAME):
        text = _NAMED_VALUE.sub(rf"\g<name>{HIDDEN}", text)
    if "PRIVATE KEY-----" in text:
        text = _PRIVATE_KEY.sub(rf"\1{HIDDEN}\2", text)
    return _KNOWN.sub(HIDDEN, text)


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and bool(value and _NAMED_KEY.fullmatch(key))


def hide_in_tracebacks() -> None:
    """From here on, an error that ends this process is printed without credentials."""
    sys.excepthook = lambda kind, error, trace: print(
        redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr, flush=True
    )


def secrets() -> tuple[str, ...]:
    """What to hide wherever it stands, longest first so that none is hidden in part only."""
    global _known
    # What os.environ keeps its variables in: looking whether one has changed costs nothing, whereas decoding and judging
    # all of them for every text took longer than the rest of a log record together.
    kept = getattr(os.environ, "_data", None)
    before, found = _known
    if kept is None or kept != before:
        found = _values(tuple((n, v) for n, v in os.environ.items() if len(v) >= _SHORTEST and _suspicious(n, v)))
        _known = dict(kept or {}), found
    return found


def _suspicious(name: str, value: str) -> bool:
    return "://" in value or (
        not _NOT_SECRET_NAME.search(name) and bool(_SECRET_NAME.search(name) or _HEADERS_NAME.search(name))
    )


@lru_cache(maxsize=4)
def _values(named: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found = set[str]()
    for name, value in named:
        if match := _URL_PASSWORD.search(value):
            found |= {match[1], unquote(match[1])}
        if _HEADERS_NAME.search(name):
            found |= {unquote(part.partition("=")[2]).strip() for part in value.split(",")}
        elif _SECRET_NAME.search(name) and not _NOT_SECRET_NAME.search(name):
            found |= {value, value.strip()}
            # A key of many lines is shown by one of them, or with its newlines escaped, by much that prints it.
            found |= {line.strip() for line in value.splitlines()} if "\n" in value else set()
    found |= {form for value in found for form in (quote(value, safe=""), repr(value)[1:-1])}
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=lambda value: (-len(value), value)))
