"""Deliver the outbox to Loki, Tempo and Prometheus, and show undelivered records.

examples:
  python -m telemetry status             what waits, since when, and why
  python -m telemetry replay             deliver now what is in the outbox
  python -m telemetry replay --wait 600  give a backend that is down ten minutes to come back

The backends are those of OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and
OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, each with its ..._HEADERS; without them, records stay in files.
Exit codes: 0 done, 2 a wrong setting, 75 something could not be delivered and waits.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from command_line import Parser, fail
from telemetry.endpoints import EndpointError

if TYPE_CHECKING:
    from telemetry.endpoints import Endpoint
    from telemetry.segments import Signal

EXIT_TEMPORARY = 75


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m telemetry", __doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    replay = commands.add_parser("replay", help="deliver what is in the outbox, and end")
    replay.add_argument(
        "--wait",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="give up when nothing could be delivered for so long (default: 30)",
    )
    replay.set_defaults(do=_replay)
    status = commands.add_parser("status", help="what waits, since when, last errors, what was dropped")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(do=_status)
    ship = commands.add_parser("ship", help="deliver until standard input closes; a run starts this for itself")
    ship.set_defaults(do=_ship)
    for command in (replay, status, ship):
        command.add_argument(
            "--outbox", type=Path, default=None, help="default: outbox/ in GLASSFORMER_HOME, or var/outbox"
        )
    options = parser.parse_args()
    options.outbox = options.outbox or _default_outbox()
    try:
        code: int = options.do(options)
    except EndpointError as error:
        return fail(str(error), 2)
    except OSError as error:
        return fail(f"{error.filename or options.outbox}: {error.strerror or error}", 1)
    return code


def _default_outbox() -> Path:
    """The same folder as in `artifacts.home`, which telemetry may not import."""
    project = Path(__file__).resolve().parent.parent
    base = Path.cwd() if project.with_name("__init__.py").is_file() else project
    chosen = os.environ.get("GLASSFORMER_HOME")
    return (Path(chosen).expanduser() if chosen else base / "var") / "outbox"


def _replay(options: argparse.Namespace) -> int:
    from telemetry import shipper
    from telemetry.endpoints import endpoints_of, variable_of
    from telemetry.following import Waiting, follow
    from telemetry.progress import Progress
    from telemetry.segments import SIGNALS

    targets = endpoints_of(options.outbox)
    if not targets:
        names = ", ".join(variable_of(signal) for signal in SIGNALS)
        return fail(f"no backend: start one with `make stack`, or set {names}", 2)
    waiting = Waiting(options.outbox, targets)
    while True:
        with shipper.only_one(options.outbox) as mine:
            if mine:
                return _deliver(options, targets)
        with Progress("deliver", waiting.total, "records", terminal=sys.stderr.isatty()) as bar:
            done = follow(waiting, options.wait, lambda: _is_free(options.outbox), bar.update)
        if done:
            print(f"{waiting.total} records delivered, by the process that delivers this outbox now")
            return 0
        if not _is_free(options.outbox):
            _warn(f"another process delivers {options.outbox}, and makes no progress; see `python -m telemetry status`")
            return EXIT_TEMPORARY


def _is_free(outbox: Path) -> bool:
    """Whether no process delivers this outbox."""
    from telemetry import shipper

    with shipper.only_one(outbox) as mine:
        return mine


def _deliver(options: argparse.Namespace, targets: Mapping[Signal, Endpoint]) -> int:
    """Deliver as the one shipper, and print how it went. Returns the exit code."""
    from telemetry import delivery_state, shipper
    from telemetry.progress import Progress

    working = shipper.Shipper(options.outbox, targets, _warn)
    before = working.delivered_records
    total = sum(delivery_state.waiting(options.outbox, signal).records for signal in targets)
    with Progress("deliver", total, "records", terminal=sys.stderr.isatty()) as bar:
        working.start()
        working.drain(options.wait, patient=True, delivered=bar.update)
    left = {
        signal: found.records for signal in targets if (found := delivery_state.waiting(options.outbox, signal)).records
    }
    print(f"{working.delivered_records - before} records delivered")
    for signal, count in left.items():
        progress = working.progress(signal)
        print(f"{signal}: {count} wait ({progress.last_error or 'no answer yet'})", file=sys.stderr)
    return EXIT_TEMPORARY if left else 0


def _status(options: argparse.Namespace) -> int:
    from telemetry import status

    document = status.read(options.outbox)
    print(json.dumps(document, indent=2) if options.json else status.as_text(document))
    return 0


def _ship(options: argparse.Namespace) -> int:
    from telemetry import shipper

    shipper.serve(options.outbox, sys.stdin.buffer, _warn)
    sys.stdout.flush()
    os._exit(0)  # a request that a backend leaves hanging is not waited for


def _warn(message: str) -> None:
    print(f"telemetry: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
