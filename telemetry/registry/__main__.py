"""Write our names as a registry of semantic conventions, and docs/names.md.

examples:
  python -m telemetry.registry            write telemetry/registry/*.yaml and docs/names.md
  python -m telemetry.registry --check    exit code 1 if they differ from the code

`weaver registry check -r telemetry/registry` checks the folder with OpenTelemetry's Weaver.
"""

from __future__ import annotations

import sys

from command_line import Parser
from telemetry.registry import files


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m telemetry.registry", __doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; list the files that differ")
    check = parser.parse_args().check
    stale = {p: text for p, text in files().items() if not p.exists() or p.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        print(f"{'differs' if check else 'written'}: {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
