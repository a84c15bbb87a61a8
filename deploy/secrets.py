"""Write the secrets of docker-compose.yml into .env: random, for you alone, and never over one that is there.

examples:
  python -m deploy.secrets                  what is missing in .env of the checkout (make secrets)
  python -m deploy.secrets --file other.env

Keep the file: the volumes of the database and of Grafana know these passwords. Grafana's user is `admin`.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

from artifacts.home import INSTALLED, base, home
from command_line import Parser, fail

# What docker-compose.yml refuses to start without (tests/deploy/test_secrets.py compares the two).
NAMES = (
    "POSTGRES_PASSWORD",
    "MLFLOW_CRYPTO_KEK_PASSPHRASE",
    "GRAFANA_ADMIN_PASSWORD",
    "GRAFANA_SECRET_KEY",
    "GLASSFORMER_API_KEY",
)
FILE = base() / ".env"
# An installed package holds docker-compose.yml where no secret of the user's belongs.
COMPOSE = ("docker", "compose", *(("--env-file", str(FILE)) if INSTALLED else ()))
_NOTE = "# Secrets of docker-compose.yml. Keep this file, and keep it to yourself.\n"


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m deploy.secrets", __doc__)
    parser.add_argument("--file", type=Path, default=FILE, help=f"default: {FILE}")
    file = parser.parse_args().file
    try:
        written = write_missing(file)
        home().mkdir(parents=True, exist_ok=True)  # the exporter's container reads it; Docker would make it root's
    except OSError as error:
        return fail(f"{error.filename or file}: {error.strerror}; fix it or give another --file", 1)
    print(f"{file}: wrote {', '.join(written)}" if written else f"{file}: nothing is missing, nothing was changed")
    return 0


def write_missing(file: Path) -> list[str]:
    """Add a secret for each name that `file` does not set, and close it to others. Returns the names written.

    What is there stays to the byte. A new file appears whole or not at all.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _create(file)
    with os.fdopen(descriptor, "r+b") as existing:
        os.fchmod(descriptor, 0o600)
        text = existing.read().decode(errors="replace")
        missing = [name for name in NAMES if not _is_set(name, text)]
        if missing:
            start = "" if not text or text.endswith("\n") else "\n"
            existing.write((start + _lines(missing)).encode())
            existing.flush()
            os.fsync(descriptor)
    return missing


def _create(file: Path) -> list[str]:
    new = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as made:
            made.write((_NOTE + _lines(NAMES)).encode())
            made.flush()
            os.fsync(descriptor)
        os.link(new, file)  # refuses when another has made it meanwhile
    finally:
        new.unlink()
    return list(NAMES)


def _is_set(name: str, text: str) -> bool:
    """Whether compose would find a value: `NAME=` and `NAME=""` are none."""
    return bool(re.search(rf"""^[ \t]*(export[ \t]+)?{name}[ \t]*=[ \t]*([^\s#"']|["'][^"'\n])""", text, re.MULTILINE))


def _lines(names: list[str] | tuple[str, ...]) -> str:
    """256 random bits each, in characters that neither an address nor compose reads as anything else."""
    return "".join(f"{name}={secrets.token_urlsafe(32)}\n" for name in names)


if __name__ == "__main__":
    sys.exit(main())
