"""The deployment of docker-compose.yml: its database has no port, and artifacts lie in a volume, so containers do it."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artifacts.home import CHECKOUT
from deploy import secrets
from deploy.backup.backup_folder import BackupError, full_disk_explained
from deploy.backup.postgres import PostgresStore

# Its own programs, so of the server's very version; inside, its socket asks for no password.
COMPOSE = PostgresStore(
    "docker compose's postgres",
    prefix=(*secrets.COMPOSE, "exec", "-T", "postgres"),
    arguments=("--username=mlflow", "--dbname=mlflow"),
)
# As a container of its own: it works while the server is stopped.
_MLFLOW = (*secrets.COMPOSE, "run", "--rm", "--no-deps", "-T", "mlflow")
_SEND = ("tar", "-C", "/mlflow/artifacts", "--hard-dereference", "-cf", "-", ".")
_STAGE = "set -e; cd /mlflow; rm -rf artifacts.restoring; mkdir artifacts.restoring; tar -xf - -C artifacts.restoring"
_SWAP = (
    "set -e; cd /mlflow; if [ -d artifacts.restoring ]; then "
    "if [ -d artifacts ] && [ ! -e artifacts.before-$0 ]; then mv artifacts artifacts.before-$0; fi; "
    "mv artifacts.restoring artifacts; fi"
)


@dataclass(frozen=True)
class Volume:
    """The folder `artifacts` of the volume `mlflow`."""

    command: Sequence[str] = _MLFLOW

    def fetch(self, target: Path) -> None:
        """Copy its content into a folder."""
        target.mkdir(parents=True)
        with full_disk_explained(target), self._start(*_SEND) as tar:
            assert tar.stdout is not None
            try:
                with tarfile.open(fileobj=tar.stdout, mode="r|") as archive:
                    _unpack(archive, target)
            except tarfile.TarError as error:
                tar.kill()
                raise BackupError(
                    f"docker compose run mlflow tar: {error}; is the stack up? (docker compose ps)"
                ) from error
        self._check(tar)

    def is_filled(self) -> bool:
        """Whether there is something in it."""
        return bool(self._run("sh", "-c", "ls -A /mlflow/artifacts").strip())

    def stage(self, folder: Path) -> None:
        """Send a folder's content to a staging folder next to it."""
        with self._start("sh", "-c", _STAGE, stdin=subprocess.PIPE) as shell:
            assert shell.stdin is not None
            try:
                with tarfile.open(fileobj=shell.stdin, mode="w|") as archive:
                    archive.add(folder, arcname=".", filter=_nobody)
                shell.stdin.close()
            except BrokenPipeError:
                pass  # it has ended; its exit code shows why
        self._check(shell)

    def swap(self, stamp: str) -> None:
        """Move the staged data to its place and the old data aside; does nothing if already done."""
        self._run("sh", "-c", _SWAP, stamp)

    def _run(self, *arguments: str) -> str:
        with self._start(*arguments) as started:
            out, _ = started.communicate()
        self._check(started)
        return out.decode(errors="replace")

    def _start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen([*self.command, *arguments], stdin=stdin, stdout=subprocess.PIPE, cwd=CHECKOUT)
        except FileNotFoundError:
            raise BackupError("docker is not on PATH; install it, or leave --compose out") from None

    def _check(self, ended: subprocess.Popen[bytes]) -> None:
        if ended.returncode:
            raise BackupError("docker compose could not reach MLflow's artifacts (see above); nothing was changed")


def _unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Files and folders only, and only within `target`. TarError names any other member.

    By hand: `extractall` has `filter` only from Python 3.11.4 on, and Debian 12 has 3.11.2.
    """
    inside = target.resolve()
    for member in archive:
        place = (inside / member.name).resolve()
        if not place.is_relative_to(inside) or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(
                f"{member.name!r} is no file or folder of the artifacts; a backup takes nothing else"
            )
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        with source, place.open("wb") as file:
            shutil.copyfileobj(source, file)


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 10001  # the image's user
    member.uname = member.gname = ""
    return member
