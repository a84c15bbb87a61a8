"""Names of secrets: which environment variables, settings and keys of a mapping hold one.

A name is cut into words at separators and at the capitals of camelCase: `SMTP_PASS`, `smtp-pass` and `smtpPass` are one name.
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# A secret wherever the word stands in a name, unless the name ends in one of _ABOUT.
_ANYWHERE = {
    "APIKEY", "BEARER", "COOKIE", "COOKIES", "CREDENTIAL", "CREDENTIALS", "CREDS", "JWT", "PASSCODE", "PASSPHRASE", "PASSWD",
    "PASSWORD", "PASSWORDS", "SECRET", "SECRETS", "TOKEN", "TOKENS", "WEBHOOK", "WEBHOOKS",
}  # fmt: skip
_AT_THE_END = {"AUTH", "CRED", "DSN", "KEY", "KEYS", "OAUTH", "OTP", "PASS", "PAT", "PATS", "PSK", "PW", "PWD", "PWDS", "SAS", "SIG",
               "SIGNATURE", "TOTP"}  # fmt: skip
_GLUED = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|SECRETS?|(?<!DE)TOKENS?|CREDENTIALS?|WEBHOOK(URL)?|(API|ACCESS|ACCOUNT|AUTH|DEPLOY|ENCRYPTION"
    r"|MASTER|PRIVATE|SECRET|SIGNING|SSH)KEY|(?<!COM)(?<!BY)(?<!TRES)(?<!SUR)(?<!OVER)(?<!UNDER)PASS|(DB|PG|ROOT|USER|ADMIN|SQL)PW"
    r"|(GITHUB|GITLAB|GH|GL|AZURE)PAT|(?<!^)(JWT|DSN))$"
)
_PAIRS = {
    ("ACCESS", "KEY"), ("ACCOUNT", "KEY"), ("API", "KEY"), ("AUTH", "KEY"), ("CONNECTION", "STRING"), ("ENCRYPTION", "KEY"),
    ("MASTER", "KEY"), ("PRIVATE", "KEY"), ("SIGNING", "KEY"),
}  # fmt: skip
# Words for facts about a secret, which are not secret: SECRET_NAME, TOKEN_URL, PASSWORD_FILE, KEY_SIZE.
_ABOUT = {
    "AGE", "ALGORITHM", "ARN", "BACKEND", "CLASS", "COUNT", "DIR", "DISABLED", "DOMAIN", "ENABLED", "ENDPOINT", "EXPIRES", "EXPIRY",
    "FILE", "FILES", "FOLDER", "FORMAT", "HEADER", "HOST", "HOURS", "ISSUER", "LENGTH", "LIMIT", "LOCATION", "METHOD", "MINUTES",
    "MODE", "NAME", "PATH", "POLICY", "PORT", "PROVIDER", "REGION", "REQUIRED", "SCOPE", "SCOPES", "SECONDS", "SIZE", "SOCK", "TIMEOUT",
    "TTL", "TYPE", "USER", "USERNAME", "VERSION",
}  # fmt: skip
_COUNTS = {"MAX", "MIN", "NUM"}  # MAX_NEW_TOKENS is a number of them
# Before TOKEN in the name of a setting or a column: a secret, whereas `pad_token` and `max_tokens` are text and its length.
_OWNERS = {
    "ACCESS", "ADMIN", "API", "APP", "AUTH", "AWS", "BEARER", "BOT", "CLIENT", "CSRF", "DEPLOY", "GH", "GITHUB", "GITLAB", "HF", "HUB",
    "ID", "JWT", "MLFLOW", "NPM", "OAUTH", "OPENAI", "PERSONAL", "PYPI", "REFRESH", "REGISTRY", "SECRET", "SECURITY", "SERVICE",
    "SESSION", "SLACK", "TRACKING", "UPLOAD", "USER", "VAULT", "WANDB", "XSRF",
}  # fmt: skip
_STRONG = {
    "AUTHORIZATION", "BEARER", "CREDENTIALS", "DSN", "JWT", "PASSCODE", "PASSPHRASE", "PASSWD", "PASSWORD", "PASSWORDS", "PW", "PWD",
    "SECRET", "SECRETS", "WEBHOOK", "APIKEY", "COOKIE",
}  # fmt: skip
_WEAK = {"PASS", "PAT", "TOKEN", "AUTH", "SIG", "SIGNATURE", "CREDENTIAL", "CRED", "CREDS"}


def words(name: str) -> list[str]:
    """`dbRoot-PW` -> DB, ROOT, PW."""
    return [word.upper() for word in _WORD.findall(name)]


def is_variable(name: str) -> bool:
    """Whether the environment variable of this name holds a secret."""
    found = words(name)
    if not found or name.upper() in ("PWD", "OLDPWD") or found[-1] in _ABOUT:
        return False
    if found[-1].startswith("TOKEN") and _COUNTS & set(found[:-1]):
        return False
    while len(found) > 1 and found[-1].isdigit():  # TOKEN_2
        found.pop()
    return bool(
        _ANYWHERE & set(found)
        or found[-1] in _AT_THE_END
        or any(_GLUED.search(word) for word in found)
        or _PAIRS & set(itertools.pairwise(found))
    )


def is_headers(name: str) -> bool:
    """Whether the variable of this name holds `name=value` pairs of HTTP headers."""
    return words(name)[-1:] == ["HEADERS"]


@lru_cache(maxsize=4096)
def strength(name: str) -> int:
    """Whether a setting or key of this name holds a secret: 2 always, 1 if its value looks like one, 0 never.

    Narrower than for variables: data and models have keys, tokens and passes that are none.
    """
    found = words(name)
    while len(found) > 1 and found[-1].isdigit():
        found.pop()
    if not found or found[-1] in _ABOUT or (found == ["PWD"] and name == "PWD"):
        return 0
    last, before = found[-1], found[-2] if len(found) > 1 else ""
    if last in _STRONG or (before, last) in _PAIRS or ("SECRET" in found and last == "KEY"):
        return 2
    if last == "TOKEN":
        return 2 if before in _OWNERS else int(not before)
    if (glued := _GLUED.search(last)) and glued[0] != last and not last.endswith("TOKENS"):
        return 2
    return int(last in _WEAK)
