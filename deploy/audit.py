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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artifacts.home import CHECKOUT
from deploy.lock import LockError, pins

_DATABASE = "https://api.osv.dev/v1/query"
_FOUND, _UNREADABLE, _AWAY = 1, 2, 75


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.audit", description=(__doc__ or "").splitlines()[0], allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=(__doc__ or "").partition("\n\n")[2],
    )  # fmt: skip
    parser.add_argument(
        "--lock", type=Path, default=CHECKOUT / "requirements.lock", help="default: that of the checkout"
    )
    parser.add_argument("--database", default=_DATABASE, metavar="URL", help=f"default: {_DATABASE}")
    parser.add_argument("--ignore", action="append", default=[], metavar="ID", help="an advisory to leave out")
    parser.add_argument("--timeout", type=int, default=15, metavar="SECONDS", help="for one answer; default: 15")
    options = parser.parse_args(arguments)
    try:
        count = len(pins(options.lock))
    except LockError as error:
        print(error, file=sys.stderr)
        return _UNREADABLE
    done = _pip_audit(options)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        why = [line for line in done.stderr.splitlines() if line.strip()] or ["pip-audit said nothing"]
        last = why[-1].removeprefix("ERROR:pip_audit._cli:")[:200]
        print(
            f"{options.database} does not answer ({last}); nothing was compared: try again where it can be reached",
            file=sys.stderr,
        )
        return _AWAY
    for package in packages:
        for advisory in package.get("vulns", ()):
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            names = ", ".join([advisory["id"], *advisory.get("aliases", ())])
            print(f"{package['name']} {package['version']}: {names}; fixed in {fixed}")
    found = sum(bool(package.get("vulns")) for package in packages)
    verdict = f"{found} have a known weakness; `make lock` takes newer versions" if found else "no known weakness"
    print(f"{options.lock}: {len(packages)} of {count} packages compared with {options.database}: {verdict}")
    return _FOUND if found else 0


def _pip_audit(options: argparse.Namespace) -> subprocess.CompletedProcess[str]:
    ignored = [part for one in options.ignore for part in ("--ignore-vuln", one)]
    return subprocess.run(
        [sys.executable, "-m", "pip_audit", "--requirement", str(options.lock), "--require-hashes", "--disable-pip", "--strict",
         "--vulnerability-service", "osv", "--osv-url", options.database, "--format", "json", "--desc", "off", "--aliases", "on",
         "--progress-spinner", "off", "--timeout", str(options.timeout), *ignored],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
