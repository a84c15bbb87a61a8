"""Credentials in texts, mappings and tracebacks, replaced by `***`.

Hidden are the values of environment variables that are secret by their name (`redaction/secret_names.py`), in every form in which
they may be shown (`redaction/secret_values.py`), and in any text: credentials in a URL, in a query string and in an Authorization
header, the secret part of a web hook's address, what is named as a password or key (`password=...`, `{"api_key": ...}`,
`--token ...`, a folder `token=...`), private keys, and tokens that are known by their first letters.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

from redaction.secret_names import strength
from redaction.secret_values import looks_random, secrets

HIDDEN = "***"

_IN_URL = re.compile(r"(?P<scheme>://)[^\s/'\"]*@")  # up to the last @ before the path
# A password with a bare slash is no URL, yet people write it; `host:8080/path@x` is not meant.
_IN_BROKEN_URL = re.compile(r"(?P<scheme>://)[^\s/@:'\"]*:(?!\d{1,5}(?:[/\s]|$))[^\s@'\"]*@")
_IN_QUERY = re.compile(
    r"(?P<name>[?&;#](?:[a-z0-9_-]*(?:token|secret|password|passwd|passphrase|signature|credential|key|jwt|webhook)"
    r"|sig|pwd|pass|pw|pat|auth|code)=)[^&\s'\"#;]+",
    re.IGNORECASE,
)
# Anyone who knows the address of such a hook can use it.
_HOOK = re.compile(
    r"(?P<start>://(?:hooks\.slack(?:-gov)?\.[a-z.]+/(?:services|workflows|triggers)/|(?:\w+\.)?discord(?:app)?\.com/api/webhooks/"
    r"|[\w.-]*webhook\.office\.com/|outlook\.office(?:365)?\.com/webhook/|hooks\.zapier\.com/hooks/|hook\.[\w.-]*make\.com/"
    r"|maker\.ifttt\.com/|api\.telegram\.org/bot|webhook\.site/|[\w.-]+/(?:web)?hooks/(?=[^\s'\"<>]*\d)))[^\s'\"<>,)]+",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization\\*['\"]?\s*[:=]\s*\\*['\"]?)(?:(?:basic|bearer|token|digest)\s+)?[^\s'\",;\\]+",
    re.IGNORECASE,
)
_COOKIE = re.compile(r"(?P<name>\b(?:set-)?cookie:[ \t]*)[^\n'\"]+", re.IGNORECASE)
_BEARER = re.compile(r"(?P<name>\b(?:bearer|basic)\s+)(?=[^\s'\",;]*[0-9=])[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
# name=value, name: value, "name": "value with spaces", also within JSON that is quoted once more; --name value.
_NAME = re.compile(
    r"(?<![\w-])(?P<name>-{0,2}[A-Za-z_][\w-]{0,80})(?P<sign>\\*['\"]?[ \t]*(?:=|:(?!//))[ \t]*)"
    r"|(?<![\w-])(?P<option>--[A-Za-z][\w-]{0,80}|passwd|password|passphrase|secret)(?P<space>[ \t]+)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?P<quote>\\*['\"])(?P<quoted>[^\n]*?)(?P=quote)|(?P<open>\\*['\"])(?P<rest>[^\n]+)|(?P<plain>[^\s'\",;&#)}\]\\]+)"
)
_PARTS = (
    "pass", "pwd", "secret", "token", "key", "auth", "cred", "jwt", "bearer", "webhook", "dsn", "cookie", "signature", "connection",
    *(f"{short}{sign}" for short in ("pat", "pw", "sig") for sign in "=:'\"\\ "),  # `path` and `patience` are common
)  # fmt: skip
# Looked for first: most texts have no such word, `tokens/s` and paths are common, and names cost more to look at.
_MAY_NAME = re.compile(
    r"pass(?:w|code|phrase|(?![a-z]))|pwd?(?![a-z])|secret|token(?![a-z])|auth(?!or)|cred|jwt|bearer|webhook|dsn|cookie|sig(?:nature)?"
    r"(?![a-z])|pat(?![a-z])|(?:access|account|api|auth|deploy|encryption|master|private|signing|ssh)[_-]?key|connection[_-]?string"
)
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----).*?(-----END|$)", re.DOTALL)
_KNOWN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}"
    r"|xapp-[\w-]{10,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|dapi[0-9a-f]{24,}|AIza[\w-]{30,}|[sr]k_live_\w{12,}"
    r"|sk-[\w-]{16,}|A[KS]IA[A-Z0-9]{12,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)


def redact(value: Any) -> Any:
    """The same value with credentials replaced by `***`: in strings, and in those within lists, tuples and mappings."""
    if isinstance(value, str):
        return _redact_text(value)
    if isinstance(value, Mapping):
        return {redact(key): HIDDEN if _is_secret(key, item) else redact(item) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [redact(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list | set | frozenset):
        return type(value)(redact(item) for item in value)
    return value


def _redact_text(text: str) -> str:
    for secret in secrets():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    if not any(sign in text for sign in " =:\t"):  # a name or a path: nothing that is looked for below
        return _KNOWN.sub(HIDDEN, text)
    if "://" in text:
        text = _HOOK.sub(rf"\g<start>{HIDDEN}", text)
        text = _IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
        text = _IN_BROKEN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text:
        text = _IN_QUERY.sub(rf"\g<name>{HIDDEN}", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(rf"\1{HIDDEN}\2", text)
    lowered = text.lower()
    if "authorization" in lowered:
        text = _HEADER.sub(rf"\g<name>{HIDDEN}", text)
    if "cookie:" in lowered:
        text = _COOKIE.sub(rf"\g<name>{HIDDEN}", text)
    if "bearer" in lowered or "basic" in lowered:
        text = _BEARER.sub(rf"\g<name>{HIDDEN}", text)
    if any(part in lowered for part in _PARTS) and _MAY_NAME.search(lowered):
        text = _without_named(text)
    return _KNOWN.sub(HIDDEN, text)


def _without_named(text: str) -> str:
    """The text without values that are secret by their name."""
    pieces, done, place = [], 0, 0
    while name := _NAME.search(text, place):
        place = name.end()  # a value is looked at only after a name that asks for it, so each may be a name itself
        value = _VALUE.match(text, place)
        if value and (hidden := _replacement(text, name, value)):
            pieces += [text[done:place], hidden]
            done = place = value.end()
    return "".join([*pieces, text[done:]])


def _replacement(text: str, name: re.Match[str], value: re.Match[str]) -> str:
    """The text shown in place of a value; empty if it may stay."""
    given = next(part for part in (value["quoted"], value["rest"], value["plain"]) if part is not None)
    sure = strength((name["name"] or name["option"]).lstrip("-"))
    if not sure or not given or given == HIDDEN:
        return ""
    apart = name["space"] or name["sign"][-1:] in " \t"
    plain_option = name["option"] and not name["option"].startswith(
        "--"
    )  # `password hunter22`, but not `password is wrong`
    if (sure == 1 or plain_option) and not looks_random(given.rstrip(".:"), 8 if apart and not plain_option else 6):
        return ""
    quote, kept = value["quote"] or value["open"] or "", ""
    if value["plain"] and name.start() and text[name.start() - 1] == "/":  # a folder of a path
        _, slash, rest = given.partition("/")
        kept = _without_named(slash + rest)
    return f"{quote}{HIDDEN}{value['quote'] or ''}{kept}"


def _is_secret(key: Any, value: Any) -> bool:
    if not (isinstance(key, str) and isinstance(value, str) and value):
        return False
    sure = strength(key)
    return sure == 2 or (sure == 1 and looks_random(value, 8))


def hide_in_tracebacks() -> None:
    """From here on, an error that ends this process, and what libraries log and warn of, is printed without credentials."""
    sys.excepthook = lambda kind, error, trace: print(
        redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr, flush=True
    )
    if getattr(warnings.formatwarning, "redacts", False):
        return
    make, form = logging.getLogRecordFactory(), warnings.formatwarning

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        made.msg, made.args = redact(made.getMessage()), ()
        return made

    def format_redacted(*args: Any, **kwargs: Any) -> str:
        return str(redact(form(*args, **kwargs)))

    format_redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)
    warnings.formatwarning = format_redacted
