"""The one place where credentials are taken out of what we write: logs, spans, metrics, parameters, manifests, reports."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "***"
_SHORTEST = 6  # a shorter value stands in too many words to be replaced everywhere
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ENCRYPTION_KEY|(^|_)(KEY|PWD|AUTH|DSN)$",
    re.IGNORECASE,
)
_NOT_SECRET = ("PWD", "OLDPWD")  # the shell's working directories
_HEADERS_NAME = re.compile(r"_HEADERS$", re.IGNORECASE)  # OTEL_EXPORTER_OTLP_HEADERS=authorization=...,x-scope=...
_IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/@:'\"]*(:[^\s/@'\"]*)?@", re.IGNORECASE)
_IN_QUERY = re.compile(
    r"(?P<name>[?&;](?:[a-z0-9_-]*(?:token|secret|password|passwd|signature|api_?key|access_?key)|sig|pwd|auth)=)[^&\s'\"#;]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?P<name>\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:basic|bearer|token)\s+)?[^\s'\",;]+", re.I)
_BEARER = re.compile(r"(?P<name>\bbearer\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)


def redact(value: Any) -> Any:
    """The same value with credentials replaced by `***`; strings within lists and mappings too."""
    if isinstance(value, str):
        return _redacted(value)
    if isinstance(value, Mapping):
        return {key: redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(redact(item) for item in value)
    return value


def _redacted(text: str) -> str:
    for secret in secrets():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    if "://" in text:
        text = _IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text:
        text = _IN_QUERY.sub(rf"\g<name>{HIDDEN}", text)
    lowered = text.lower()
    if "authorization" in lowered:
        text = _HEADER.sub(rf"\g<name>{HIDDEN}", text)
    if "bearer" in lowered:
        text = _BEARER.sub(rf"\g<name>{HIDDEN}", text)
    return text


def secrets() -> tuple[str, ...]:
    """Values of secret-looking environment variables, longest first so that none is hidden in part only."""
    named = ((name, value) for name, value in os.environ.items() if name not in _NOT_SECRET)
    return _values(tuple((n, value) for n, value in named if _SECRET_NAME.search(n) or _HEADERS_NAME.search(n)))


@lru_cache(maxsize=4)
def _values(named: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found = set[str]()
    for name, value in named:
        if _HEADERS_NAME.search(name):
            found.update(part.partition("=")[2].strip() for part in value.split(","))
        else:
            found.add(value)
            found.add(value.strip())
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))
