"""The observability stack: docker-compose.yml if a Docker engine answers, else the same programs without Docker.

Without Docker: Loki, Prometheus and Alertmanager (built once), MLflow's page, our exporter; Tempo and Grafana from PATH.

examples:
  python -m deploy.native up         build them once, start them, wait until they are ready (make stack)
  python -m deploy.native build      build those that are not on PATH, and start nothing
  python -m deploy.native status     what runs (make stack-status)
  python -m deploy.native down       stop what was started; the data stays (make stack-down)
"""

from __future__ import annotations

import argparse
import sys

from artifacts.home import home
from command_line import Parser, fail
from deploy.native import containers
from deploy.native.programs import PROGRAMS, StackError
from deploy.native.services import Ports
from deploy.native.stack import Stack
from telemetry.endpoints import endpoints_of, variable_of


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m deploy.native", __doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    up = commands.add_parser("up", help="build once, start, wait until ready")
    for name, port in vars(Ports()).items():
        up.add_argument(
            f"--{name.replace('_', '-')}-port", type=int, default=port, metavar="N", help=f"default: {port}"
        )
    up.add_argument(
        "--native", action="store_true", help=f"without Docker, also where it answers ({containers.VARIABLE}=native)"
    )
    up.set_defaults(do=_up)
    commands.add_parser("build", help="build the programs that are not on PATH, once").set_defaults(do=_build)
    commands.add_parser("down", help="stop exactly what was started").set_defaults(do=_down)
    commands.add_parser("status", help="what runs; exit code 1 when something does not").set_defaults(do=_status)
    options = parser.parse_args()
    try:
        stack = Stack(home(), _say)
        code: int | None = containers.answer(stack, options)
        return int(options.do(stack, options)) if code is None else code
    except StackError as error:
        return fail(str(error), 1)


def _up(stack: Stack, options: argparse.Namespace) -> int:
    ports = Ports(**{name: getattr(options, f"{name}_port") for name in vars(Ports())})
    for service in stack.up(ports):
        print(f"{service.name:12} {service.address}{f'  ({service.signal})' if service.signal else ''}")
    if any(service.name == "grafana" for service in stack.services()):
        print(f"             user admin, password in {stack.home / 'stack' / 'grafana.password'}")
    if "traces" not in endpoints_of(stack.home / "outbox"):
        print(f"traces       no backend: spans wait in the outbox until {variable_of('traces')} names one")
    print(f"`make run` sends there now ({stack.environment_file}); `make stack-down` stops it")
    return 0


def _build(*_: object) -> int:
    for program in PROGRAMS.values():
        if program.module:
            print(f"{program.name:14} {program.path(_say)}", flush=True)
    return 0


def _down(stack: Stack, _: argparse.Namespace) -> int:
    stopped = stack.down()
    print(f"stopped {', '.join(stopped)}" if stopped else "nothing of ours ran")
    return 0


def _status(stack: Stack, _: argparse.Namespace) -> int:
    services = stack.services()
    if not services:
        print("nothing runs; `make stack` starts it")
        return 1
    states = {s.name: "ended" if s.process is None else "ready" if s.is_ready() else "not ready" for s in services}
    for service in services:
        print(f"{service.name:12} {states[service.name]:10} {service.address}")
    return 0 if set(states.values()) == {"ready"} else 1


def _say(message: str) -> None:
    print(message, flush=True)


if __name__ == "__main__":
    sys.exit(main())
