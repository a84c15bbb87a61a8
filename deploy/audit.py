"""Compare the lock with a database of known weaknesses: every package that it names, in the version that it names.

examples:
  python -m deploy.audit                    the lock of the checkout (make audit)
  python -m deploy.audit --database URL     another database that answers as OSV's does
  python -m deploy.audit --ignore ID        an advisory that is known not to concern us

It asks OSV, which has the advisories of the Python Packaging Authority and of GitHub, for the names and versions of the lock; nothing
else leaves this machine, and nothing is installed or resolved. Exit codes: 0 nothing is known, 1 an advisory, 2 the lock cannot be
read, 75 the database does not answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from artifacts.errors import EXIT_TEMPORARY
from artifacts.home import CHECKOUT
from command_line import Parser, fail
from deploy.lock import LockError, Pin, pins

_DATABASE = "https://api.osv.dev/v1/query"
_FOUND, _UNREADABLE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m deploy.audit", __doc__)
    parser.add_argument(
        "--lock", type=Path, default=CHECKOUT / "requirements.lock", help="default: that of the checkout"
    )
    parser.add_argument("--database", default=_DATABASE, metavar="URL", help=f"default: {_DATABASE}")
    parser.add_argument("--ignore", action="append", default=[], metavar="ID", help="an advisory to leave out")
    parser.add_argument("--timeout", type=int, default=15, metavar="SECONDS", help="for one answer; default: 15")
    options = parser.parse_args(arguments)
    try:
        found = pins(options.lock)
    except LockError as error:
        return fail(str(error), _UNREADABLE)
    packages: list[dict[str, Any]] = []
    for batch in _batches(found):
        done = _pip_audit(batch, options)
        try:
            packages += json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError, TypeError):
            why = [line for line in done.stderr.splitlines() if line.strip()] or ["pip-audit said nothing"]
            last = why[-1].removeprefix("ERROR:pip_audit._cli:")[:200]
            print(
                f"{options.database} does not answer ({last}); nothing was compared: try again where it can be reached",
                file=sys.stderr,
            )
            return EXIT_TEMPORARY
    for package in packages:
        for advisory in package.get("vulns", ()):
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            names = ", ".join([advisory["id"], *advisory.get("aliases", ())])
            print(f"{package['name']} {package['version']}: {names}; fixed in {fixed}")
    weak = sum(bool(package.get("vulns")) for package in packages)
    verdict = f"{weak} have a known weakness; `make lock` takes newer versions" if weak else "no known weakness"
    print(f"{options.lock}: {len(packages)} packages compared with {options.database}: {verdict}")
    if len(packages) < len(found):
        print(
            f"{options.lock}: names {len(found)} packages; {len(found) - len(packages)} were not compared",
            file=sys.stderr,
        )
        return _FOUND if weak else EXIT_TEMPORARY
    return _FOUND if weak else 0


def _batches(packages: Sequence[Pin]) -> Iterator[list[Pin]]:
    """The pins, each name once in a batch: the lock may have a package in a version for each Python."""
    left = list(packages)
    while left:
        once = {pin.name: pin for pin in left}
        yield list(once.values())
        left = [pin for pin in left if once[pin.name] is not pin]


def _pip_audit(batch: Sequence[Pin], options: argparse.Namespace) -> subprocess.CompletedProcess[str]:
    """Run pip-audit over these, those too that this machine's Python or system would not install."""
    ignored = [part for one in options.ignore for part in ("--ignore-vuln", one)]
    with tempfile.TemporaryDirectory(prefix="glassformer-audit-") as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(
            "".join(f"{pin.name}=={pin.version} --hash=sha256:{pin.hashes[0]}\n" for pin in batch), encoding="utf-8"
        )
        return subprocess.run(
            [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--require-hashes", "--disable-pip", "--strict",
             "--vulnerability-service", "osv", "--osv-url", options.database, "--format", "json", "--desc", "off", "--aliases", "on",
             "--progress-spinner", "off", "--timeout", str(options.timeout), *ignored],
            capture_output=True, text=True, check=False,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
