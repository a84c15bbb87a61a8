"""Write the dashboards' JSON.

examples:
  python -m grafana            write grafana/dashboards/*.json
  python -m grafana --check    exit code 1 if they differ from the code
"""

from __future__ import annotations

import sys

from command_line import Parser
from grafana.boards import BOARDS, FOLDER, as_json


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m grafana", __doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; list the files that differ")
    options = parser.parse_args()
    stale = []
    for name, build in BOARDS.items():
        path, made = FOLDER / f"{name}.json", as_json(build())
        if not path.exists() or path.read_text(encoding="utf-8") != made:
            stale.append(str(path))
            if not options.check:
                path.write_text(made, encoding="utf-8")
    if stale:
        print("\n".join(f"{'differs: ' if options.check else 'written: '}{path}" for path in stale))
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
