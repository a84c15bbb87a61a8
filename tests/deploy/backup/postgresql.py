"""A PostgreSQL server of a test's own: in a temporary folder, on a free port, never as root."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "canary secret/%"  # an address has to encode it
ENCODED = "canary%20secret%2F%25"


def programs():
    """The folder of initdb and pg_ctl; Debian keeps them off PATH."""
    found = shutil.which("pg_ctl")
    if found and (Path(found).resolve().parent / "initdb").exists():
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def server():
    """Starts one with user `mlflow` and a password. Yields its port and the folder of its socket."""
    folder = programs()
    missing = None if folder else "PostgreSQL's server is not here (Debian: apt-get install postgresql)"
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if missing:
        assert not os.environ.get("CI"), f"CI installs it: {missing}"
        pytest.skip(missing)
    home = Path(tempfile.mkdtemp(prefix="glassformer-pg-"))  # its socket's path has a hundred characters at most
    (home / "password").write_text(PASSWORD)
    if as_postgres:
        for path in (home, home / "password"):
            shutil.chown(path, "postgres", "postgres")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]

    def run(program, *arguments):
        done = subprocess.run([*as_postgres, folder / program, "-D", home / "data", *arguments], cwd=home, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        assert done.returncode == 0, done.stdout

    try:
        run(
            "initdb",
            "--username=mlflow",
            "--auth=scram-sha-256",
            "--auth-local=trust",
            f"--pwfile={home / 'password'}",
            "--no-sync",
        )
        options = f"-k {home} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "start", "--wait", "-o", options, "-l", home / "log")
        try:
            yield port, home
        finally:
            run("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(home)
