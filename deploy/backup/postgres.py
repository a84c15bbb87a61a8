"""MLflow's store in PostgreSQL: pg_dump, and a restore that is one transaction. No password on a command line.

The old tables go aside as a schema of another name in the same database, so nothing but the database's owner is needed
and a restore that is cut short leaves everything as it was.
"""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from artifacts.home import CHECKOUT
from deploy.backup.backup_folder import BackupError, full_disk_explained
from redaction import redact

# libpq's names in an address -> its variables: an address may also carry them behind a question mark.
_VARIABLES = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "passfile": "PGPASSFILE",
    "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT", "application_name": "PGAPPNAME",
}  # fmt: skip
# What the programs say -> what to do about it.
_REMEDIES = (
    ("no password supplied", "give it in MLFLOW_TRACKING_URI, PGPASSWORD or the file of PGPASSFILE"),
    ("password authentication failed", "check the password in MLFLOW_TRACKING_URI, PGPASSWORD or PGPASSFILE"),
    ("server version mismatch", "install the client programs of the server's version (Debian: postgresql-client-N)"),
    ("unsupported version", "made by a newer pg_dump: install the client programs of that version"),
    ("does not exist", "check MLFLOW_TRACKING_URI, or make the database (createdb)"),
    ("permission denied", "the user must own the database"),
    ("must be owner", "the user must own the database"),
    ("No space left", "make room on the server's disk, then again"),
    ("is not running", "start it: docker compose up --detach --wait postgres"),
)
_IDENTITY = ["--no-owner", "--no-privileges"]


@dataclass(frozen=True)
class PostgresStore:
    """A database, reached by PostgreSQL's own client programs, here or (`prefix`) in a container."""

    address: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    prefix: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    schema: str = "public"
    kind = "postgresql"
    name = "store.pgdump"

    @classmethod
    def of(cls, uri: str) -> PostgresStore:
        """The store of MLflow's address of it."""
        parts, shown = urlsplit(uri), str(redact(uri))
        try:
            port = str(parts.port or "")
        except ValueError as error:
            raise BackupError(f"{shown}: {error}; check MLFLOW_TRACKING_URI") from None
        settings = {"host": parts.hostname, "port": port, "user": parts.username, "password": parts.password}
        values = {name: unquote(value) for name, value in settings.items() if value} | dict(parse_qsl(parts.query))
        if unknown := sorted(set(values) - set(_VARIABLES)):
            raise BackupError(
                f"MLFLOW_TRACKING_URI: {', '.join(unknown)} is not understood here; leave it out for backups"
            )
        environment = {_VARIABLES[name]: value for name, value in values.items()}
        database = unquote(parts.path.lstrip("/"))
        store = cls(shown, {"PGCONNECT_TIMEOUT": "10", "PGDATABASE": database} | environment)
        return cls(store.address, store.environment, schema=store.rows("SELECT current_schema()")[0][0] or "public")

    def is_filled(self) -> bool:
        """Whether there are tables that a restore would take the place of."""
        return bool(self.columns())

    def dump(self, target: Path) -> None:
        """Copy the database as of one moment, while writers continue."""
        with full_disk_explained(target), target.open("wb") as file:
            self._run("pg_dump", "--format=custom", f"--schema={self.schema}", *_IDENTITY, "--no-password", output=file)
        with target.open("rb") as file:
            self._run("pg_restore", "--list", connects=False, given=file)

    def rows(self, query: str, dump: Path | None = None) -> list[list[str]]:
        """The rows of a query, as text. It always queries the database, even if there is a `dump`."""
        output = self._run("psql", *_psql(), "--csv", "--tuples-only", "--command", query)
        return list(csv.reader(io.StringIO(output)))

    def columns(self, dump: Path | None = None) -> set[tuple[str, str]]:
        """Every table with each of its columns."""
        query = f"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = '{self.schema}'"  # noqa: S608 - the database's own word
        return {(table, column) for table, column in self.rows(query)}

    def check_unused(self) -> None:
        """BackupError when others are connected: a server would go on with its cached data."""
        others = self.rows(
            "SELECT pid, coalesce(nullif(application_name, ''), 'a program'), coalesce(client_addr::text, 'this machine') "
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        if others:
            who = f"{others[0][1]} on {others[0][2]}, process {others[0][0]}"
            stop = "docker compose stop mlflow" if self.prefix else "stop MLflow's server and all runs"
            raise BackupError(f"{self.address} has {len(others)} open connections ({who}); {stop}, then restore")

    def is_restored(self, mark: str) -> bool:
        """Whether the restore of this mark was committed."""
        query = f"SELECT obj_description(to_regnamespace('{self.schema}'), 'pg_namespace')"
        return self.rows(query) == [[f"restored {mark}"]]

    def restore(self, dump: Path, mark: str, statements: Iterable[str]) -> None:
        """Put the dump in the place of the tables, all or nothing; they stay as schema `before_<mark>`."""
        before = [
            "BEGIN;",
            f'ALTER SCHEMA "{self.schema}" RENAME TO "before_{mark}";',
            f'CREATE SCHEMA "{self.schema}";',
        ]
        comment = f"COMMENT ON SCHEMA \"{self.schema}\" IS 'restored {mark}';"
        after = [*(f"{one};" for one in statements), comment, "COMMIT;"]  # an end before COMMIT is a rollback
        read = self._command("pg_restore", f"--schema={self.schema}", *_IDENTITY, "--file=-", connects=False)
        code, failed = 0, b""
        with dump.open("rb") as file, self._start("psql", *_psql(), "--file=-", "--output=/dev/null") as psql:
            assert psql.stdin is not None
            try:
                psql.stdin.write("\n".join([*before, ""]).encode())
                psql.stdin.flush()
                done = subprocess.run(
                    read, stdin=file, stdout=psql.stdin, stderr=subprocess.PIPE, env=self._environment(), cwd=CHECKOUT, check=False
                )  # fmt: skip
                code, failed = done.returncode, done.stderr
                if code == 0:
                    psql.stdin.write("\n".join(["", *after, ""]).encode())
            except BrokenPipeError:
                pass  # it has ended; its output gives the reason
            _, errors = psql.communicate()
        if psql.returncode:
            self._fail("psql", errors)
        if code:
            self._fail("pg_restore", failed)

    def _run(self, program: str, *arguments: str, connects: bool = True, given: io.BufferedReader | None = None,
             output: io.BufferedWriter | None = None) -> str:  # fmt: skip
        command = self._command(program, *arguments, connects=connects)
        try:
            done = subprocess.run(
                command,
                stdin=given or subprocess.DEVNULL,
                stdout=output or subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                cwd=CHECKOUT,
                check=False,
            )
        except FileNotFoundError:
            raise BackupError(_missing(command[0])) from None
        if done.returncode:
            self._fail(program, done.stderr)
        return (done.stdout or b"").decode()

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = self._command(program, *arguments)
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment(),
            cwd=CHECKOUT,
        )

    def _command(self, program: str, *arguments: str, connects: bool = True) -> list[str]:
        return [*self.prefix, program, *(self.arguments if connects else ()), *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment, "LC_MESSAGES": "C"}

    def _fail(self, program: str, errors: bytes) -> None:
        output = [line for line in errors.decode(errors="replace").splitlines() if line.strip()] or ["no reason given"]
        line = str(redact(next((line for line in output if re.search("error|FATAL", line, re.IGNORECASE)), output[-1])))
        remedy = next(
            (remedy for sign, remedy in _REMEDIES if sign in errors.decode(errors="replace")), "nothing was changed"
        )
        raise BackupError(f"{self.address}: {program} says: {line[:300]}; {remedy}")


def _psql() -> Sequence[str]:
    return ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1")


def _missing(program: str) -> str:
    if program == "docker":
        return "docker is not on PATH; install it, or give MLFLOW_TRACKING_URI without --compose"
    return f"{program} is not on PATH; install PostgreSQL's client programs (Debian: apt-get install postgresql-client)"
