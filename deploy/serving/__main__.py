"""Serve a registered model by its alias.

examples:
  python -m deploy.serving                                  glassformer-docs at http://127.0.0.1:8000, a page to try it
  python -m deploy.serving glassformer-search --port 8001
  python -m deploy.serving --canary 10                      a tenth of the keys is answered by the version `challenger`
  GLASSFORMER_API_KEY=... python -m deploy.serving --host 0.0.0.0 --allowed-host models.example.org

  curl localhost:8000/v1/classify -H 'content-type: application/json' -d '{"inputs": "Return the sum."}'

The alias is followed as it moves: the new version is loaded next to the old one, must reproduce the answers recorded
when it was registered, and takes over without a lost request. SIGTERM ends it once all that was accepted is answered.
Exit codes: 0 ended by a signal; 1 nothing to serve; 2 a wrong parameter; 75 the registry does not answer, try again.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import os
import re
import signal
import socket
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from artifacts.errors import EXIT_TEMPORARY
from artifacts.home import home
from command_line import Parser, fail
from deploy.serving import ServingError, check_name
from deploy.serving.limits import Limits
from deploy.store import use_told_store
from models.devices import DEVICES, PRECISIONS, Compute
from telemetry import Observe
from telemetry.shipper import Shipping

_SHORTEST_KEY = 16  # characters
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve. Returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        key = _key(chosen)
        check_name(chosen.model)
        compute = _compute(chosen)
        listening = bind(chosen.host, chosen.port)
    except ServingError as error:
        return fail(f"deploy.serving: {error}", 2)
    outbox = Path(home()) / "outbox"
    use_told_store(outbox)
    observe = Observe.open(
        "glassformer",
        pipeline="",
        run=f"serving-{uuid.uuid4().hex[:12]}",
        step="serving",
        node="",
        outbox=outbox,
        log_file=Path(home()) / "logs" / "serving" / "serving.jsonl",
    )
    shipping = Shipping.start(outbox)
    try:
        import uvloop

        with observe.span("serve", model=chosen.model, alias=chosen.alias):
            uvloop.run(_serve(chosen, key, compute, listening, observe))
        return 0
    except ServingError as error:
        away = "the registry does not answer" in str(error)
        return fail(f"deploy.serving: {error}", EXIT_TEMPORARY if away else 1)
    finally:
        observe.close()
        if shipping:
            shipping.close()


def _parser() -> Parser:
    limits = Limits()
    parser = Parser("python -m deploy.serving", __doc__)
    add = parser.add_argument
    add("model", nargs="?", default="glassformer-docs", help="registered model; default: glassformer-docs")
    add("--alias", default="champion", help="whose version answers; default: champion")
    add("--host", default="127.0.0.1", help="address to listen on; any other than loopback needs a key")
    add("--port", type=_port, default=8000, help="default: 8000; 0: any that is free")
    add(
        "--key-file",
        type=Path,
        metavar="F",
        help="file with the API key; else GLASSFORMER_API_KEY; on loopback none is needed",
    )
    add("--allowed-host", action="append", default=[], metavar="NAME", help="name by which clients call this server")
    add("--allowed-origin", action="append", default=[], metavar="URL", help="page of elsewhere whose scripts may ask")
    add("--canary", type=_percent, default=0.0, metavar="PERCENT", help="share of the keys that --canary-alias answers")
    add("--canary-alias", default="challenger", help="default: challenger")
    workers = min(2, os.cpu_count() or 1)  # one thread each is faster than one worker of two threads, and one can die
    add("--workers", type=_count, default=workers, help=f"processes of each version; default: {workers}")
    add("--threads", type=_count, default=1, help="threads of a worker; default: 1")
    add("--device", choices=DEVICES, default="auto", help="of its workers; default: auto, cuda where there is one")
    add("--precision", choices=PRECISIONS, default="auto", help="default: auto, bfloat16 on a CUDA device that has it")
    add(
        "--batch-tokens",
        type=_count,
        default=limits.batch_tokens,
        help=f"largest batch; default: {limits.batch_tokens}",
    )
    add(
        "--batch-wait",
        type=_seconds,
        default=limits.batch_wait,
        metavar="S",
        help="how long an idle worker waits for more; default: 0, a busy one gathers the next batch by itself",
    )
    add("--queue", type=_count, default=limits.queue, help=f"questions that may wait; default: {limits.queue}")
    add("--body", type=_count, default=limits.body, metavar="BYTES", help=f"largest body; default: {limits.body}")
    add(
        "--deadline",
        type=_seconds,
        default=limits.deadline,
        metavar="S",
        help=f"of a request; default: {limits.deadline:g}",
    )
    add(
        "--drain",
        type=_seconds,
        default=limits.drain,
        metavar="S",
        help=f"after SIGTERM, still taking requests and closing each connection with its answer; default: {limits.drain:g}",
    )
    add(
        "--poll",
        type=_seconds,
        default=limits.poll,
        metavar="S",
        help=f"between two looks at the alias; default: {limits.poll:g}",
    )
    add("--wait", action="store_true", help="with nothing to serve yet, wait for it instead of ending")
    add(
        "--log-requests",
        choices=["answers", "bodies"],
        default="",
        help="a log record for each request; with `bodies`, of its texts too: they are kept as long as logs are",
    )
    add(
        "--sample-requests",
        type=_share,
        default=1.0,
        metavar="SHARE",
        help="of the requests without a traceparent whose spans are kept, and those of failed ones (5xx); default: 1",
    )
    return parser


async def _serve(
    chosen: argparse.Namespace, key: str, compute: Compute, listening: socket.socket, observe: Observe
) -> None:
    from deploy.serving.access import Access
    from deploy.serving.lifecycle import Plan, run
    from deploy.serving.loaded_versions import ServingOptions
    from deploy.serving.registry import Registry
    from deploy.store import connect

    limits = Limits(
        batch_tokens=chosen.batch_tokens,
        batch_wait=chosen.batch_wait,
        queue=chosen.queue,
        body=chosen.body,
        deadline=chosen.deadline,
        drain=chosen.drain,
        poll=chosen.poll,
    )
    names = {name.lower() for name in [*chosen.allowed_host, chosen.host]}
    plan = Plan(
        Registry(chosen.model, Path(home()) / "serving", connect),
        Path(home()) / "logs" / "serving",
        limits,
        ServingOptions(chosen.alias, chosen.canary_alias, chosen.canary, chosen.workers, chosen.threads, compute),
        Access(key, names, {origin.lower().rstrip("/") for origin in chosen.allowed_origin}),
        chosen.log_requests,
        chosen.wait,
        chosen.sample_requests,
    )
    ending, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    await run(plan, listening, observe, ending, _announce)


def _announce(line: str) -> None:
    """Print the address, and freeze the objects loaded so far: a garbage collection set off by a large body would scan them, which
    took 0.3 s without any answer."""
    print(line, flush=True)
    gc.collect()
    gc.freeze()


def bind(host: str, port: int) -> socket.socket:
    """A socket at that address. Its protocol is named: else asyncio would not send the second half of an answer until the first one
    was acknowledged, 40 ms later. ServingError if there can be none."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServingError(f"--host {host}: {error.strerror or error}; give another one") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        listening.close()
        if getattr(error, "errno", 0) == errno.EADDRINUSE:
            raise ServingError(
                f"--port {port}: {_holder(port)} has it; give another one (`make serve PORT=8001`)"
            ) from None
        raise ServingError(f"--host {host} --port {port}: {error}; give another one") from None
    listening.setblocking(False)
    return listening


def _holder(port: int) -> str:
    from deploy.native.stack import Stack

    ours = (one for one in Stack(Path(home()), print).services() if one.name == "serving" and one.process)
    return "the server of `make stack`" if any(one.address.endswith(f":{port}") for one in ours) else "another program"


def _compute(chosen: argparse.Namespace) -> Compute:
    """Device and precision of the workers. ServingError if this machine has none such."""
    try:
        return Compute.of(chosen.device, chosen.precision)
    except ValueError as error:
        raise ServingError(f"--device {chosen.device} --precision {chosen.precision}: {error}") from None


def _key(chosen: argparse.Namespace) -> str:
    """The API key, or an empty string if none is needed. ServingError if one is needed and missing."""
    key, source = os.environ.get("GLASSFORMER_API_KEY", ""), "GLASSFORMER_API_KEY"
    if chosen.key_file:
        source = f"--key-file {chosen.key_file}"
        try:
            key = chosen.key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ServingError(f"{source}: {getattr(error, 'strerror', None) or error}") from None
        if not key:
            raise ServingError(f"{source}: it is empty; `openssl rand -hex 32` makes a key")
    if key and (len(key) < _SHORTEST_KEY or not re.fullmatch(r"[\x21-\x7e]+", key)):
        raise ServingError(
            f"a key has at least {_SHORTEST_KEY} characters, ASCII without spaces; that of {source} has not"
        )
    if not key and chosen.host not in _LOOPBACK:
        raise ServingError(
            f"--host {chosen.host}: anyone who can reach it could use it; give a key (GLASSFORMER_API_KEY or --key-file), or leave "
            "--host out to serve this machine alone"
        )
    return key


def _count(text: str) -> int:
    with suppress(ValueError):
        if (value := int(text)) > 0:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number above 0")


def _port(text: str) -> int:
    with suppress(ValueError):
        if 0 <= (value := int(text)) < 65_536:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to 65535")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) < 86_400:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: give a number of seconds")


def _percent(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= 100:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to 100")


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= 1:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to 1")


if __name__ == "__main__":
    sys.exit(main())
