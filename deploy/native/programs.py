"""Find a backend's program on PATH, or build it from its Go module, once. Tempo and Grafana have no module to build."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artifacts import locks

HERE = Path(__file__).resolve().parent


class StackError(Exception):
    """An error that the user can fix; the message contains the remedy."""


@dataclass(frozen=True)
class Program:
    """A program and the module in this folder that builds it."""

    name: str
    major: str  # a program on PATH is used when it is of this major version
    module: str = ""  # the folder with go.mod and go.sum; empty: it cannot be built, only found
    package: str = ""
    tags: str = ""  # of Go: which parts of it are left out

    def on_path(self) -> Path | None:
        """The program that is installed, if its version fits; or if it tells none, as one built from its sources may."""
        path = shutil.which(self.name)
        if not path:
            return None
        try:
            output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        text = output.stdout + output.stderr
        version = re.search(r"version v?(\d+)\.", text)
        if version is None:
            unknown = not output.returncode and re.match(rf"\s*{self.name}\b.*version", text)
            return Path(path) if unknown else None
        return Path(path) if version[1] == self.major else None

    def path(self, say: Callable[[str], None]) -> Path:
        """Path of the program, built first if necessary. StackError if it cannot be built."""
        return self.on_path() or self._build_once(say)

    def _build_once(self, say: Callable[[str], None]) -> Path:
        if not self.module:
            raise StackError(f"{self.name} {self.major} is not on PATH, and there is nothing to build it from")
        folder = HERE / self.module
        sources = [folder / "go.mod", folder / "go.sum", *sorted(folder.glob("*.go"))]
        module = b"".join(source.read_bytes() for source in sources)
        sums = hashlib.sha256(module + self.tags.encode()).hexdigest()[:16]
        program = _cache() / f"{self.module}-{sums}" / self.name
        if program.exists():
            return program
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        if not go:
            raise StackError(
                f"{self.name} is not on PATH, and neither is go, which would build it: install one of the two"
            )
        # Two builds of one module at once would take twice as long, both.
        with locks.hold(
            program.parent / ".lock", lambda: say(f"{self.name}: another process builds it; waiting for that")
        ):
            if not program.exists():  # not built by another process while we waited
                self._build(go, folder, program, say)
        return program

    def _build(self, go: str, folder: Path, program: Path, say: Callable[[str], None]) -> None:
        say(f"{self.name}: building from {folder.relative_to(HERE.parent.parent)} (once; minutes)")
        new = program.with_name(f".{self.name}.{os.getpid()}")
        started = time.monotonic()
        built = subprocess.run(
            [go, "build", "-mod=readonly", *_NO_SYMBOLS, f"-tags={self.tags}", "-o", str(new), self.package],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            new.unlink(missing_ok=True)
            raise StackError(f"{self.name} could not be built:\n{built.stderr[-2000:]}")
        new.replace(program)
        say(f"{self.name}: built in {time.monotonic() - started:.0f} s")


# Not needed without a debugger; an eighth of the compile time.
_NO_SYMBOLS = ("-ldflags=-s -w", "-gcflags=all=-dwarf=false")
_FILES_ALONE = "remove_all_sd"  # our configuration finds targets by files; those of clouds are a third of its packages
PROGRAMS = {
    program.name: program
    for program in (
        Program("loki", "3", "loki", "github.com/grafana/loki/v3/cmd/loki"),
        Program("logcli", "3", "loki", "github.com/grafana/loki/v3/cmd/logcli"),
        Program("prometheus", "3", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", _FILES_ALONE),
        Program("promtool", "3", "prometheus", "github.com/prometheus/prometheus/cmd/promtool", _FILES_ALONE),
        Program("alertmanager", "0", "alertmanager", "github.com/prometheus/alertmanager/cmd/alertmanager"),
        Program("amtool", "0", "alertmanager", "github.com/prometheus/alertmanager/cmd/amtool"),
        Program("otelcol", "0", "collector", "."),
        Program("docker-compose", "2", "compose", "github.com/docker/compose/v2/cmd"),
        Program("tempo", "3"),
        Program("grafana", "13"),
    )
}


def _cache() -> Path:
    """Outside the checkout: a second clone builds nothing."""
    base = Path.home() / "Library" / "Caches" if sys.platform == "darwin" else Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or base) / "glassformer" / "native"
