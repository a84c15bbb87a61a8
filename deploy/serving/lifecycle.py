"""A server from its first connection to its last."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from deploy.serving.access import Access, Guard
from deploy.serving.connections import Connections
from deploy.serving.limits import Limits
from deploy.serving.loaded_versions import Fleet, ServingOptions
from deploy.serving.metrics import Metrics
from deploy.serving.registry import Registry
from deploy.serving.routes import Interface
from deploy.serving.server import Server

if TYPE_CHECKING:
    from telemetry import Observe


_ACCEPTED = 0.01  # seconds, in which whom the loop was accepting comes to stand among the connections
_LAST_WORDS = 0.2  # seconds in which those who were let in last say what they want


@dataclass(frozen=True)
class Plan:
    """The configuration of a server: model, access and limits."""

    registry: Registry
    logs: Path  # folder of what workers say
    limits: Limits = field(default_factory=Limits)
    wanted: ServingOptions = field(default_factory=ServingOptions)
    access: Access = field(default_factory=Access)
    log_requests: str = ""
    wait: bool = False  # for something to serve
    sample_requests: float = 1.0  # share of requests, of those without a parent, whose spans are kept


class _Named:
    """Adds the model's name to records."""

    def __init__(self, observe: Observe, model: str) -> None:
        self._observe, self._model = observe, model

    def log(self, event: str, message: str, *, level: Any = "info", **fields: Any) -> None:
        self._observe.log(event, f"{self._model}: {message}", level=level, model=self._model, **fields)


class _Http(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled by the caller: accepted requests are answered first."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept earlier connections, then continue as uvicorn does.

        A listening socket that is closed resets those whom the system has let in and we have not accepted yet. So what
        listens is kept open through a second handle until its queue of connections is empty.
        """
        loop = asyncio.get_running_loop()
        for listening in sockets or []:
            same = listening.dup()
            same.setblocking(False)
            for server in self.servers:
                server.close()
            listening.close()
            with suppress(BlockingIOError):
                while True:
                    connection, _ = same.accept()
                    connection.setblocking(False)
                    await loop.connect_accepted_socket(self._protocol, connection)
            same.close()
        self.servers = []
        await asyncio.sleep(_ACCEPTED)
        if self.server_state.connections:
            await asyncio.sleep(_LAST_WORDS)
        await super().shutdown(None)

    def _protocol(self) -> asyncio.Protocol:
        """Build the protocol class that uvicorn gives each connection."""
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


async def run(
    plan: Plan, listening: socket.socket, observe: Observe, ending: asyncio.Event, say: Callable[[str], None]
) -> None:
    """Serve until `ending` is set. ServingError if there is nothing to serve. `say` is called with the address."""
    limits, model = plan.limits, plan.registry.name

    fleet = Fleet(
        plan.registry,
        limits,
        plan.wanted,
        plan.logs,
        _Named(observe, model),
        lambda version, done: server.batch(version, done),
    )
    metrics = Metrics()
    server = Server(fleet, limits, metrics, observe, plan.log_requests, plan.sample_requests)
    app = Guard(Interface(server), plan.access, server)
    connections = Connections(limits, app.full_response)
    metrics.count_connections(connections)
    http = _Http(uvicorn.Config(
        app, http=connections.protocol(), ws="none", lifespan="off", loop="none", log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=int(limits.keep_alive), backlog=limits.connections,
        timeout_graceful_shutdown=int(limits.end),
    ))  # fmt: skip
    serving = asyncio.create_task(http.serve([listening]))
    tasks = [asyncio.create_task(connections.sweep())]
    try:
        if not await _open(fleet, ending, wait=plan.wait):
            return
        assert fleet.champion is not None
        host, port = listening.getsockname()[:2]
        shown, number = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", fleet.champion.number
        fleet.observe.log("serving.started", f"version {number} answers at {shown}", version=number)
        say(f"{shown}  {model} version {number}")
        tasks.append(asyncio.create_task(fleet.watch()))
        await ending.wait()
        server.draining = True  # connections are closed with their next answer
        await asyncio.sleep(limits.drain)
    finally:
        http.should_exit = True  # no more connections; what was accepted is answered
        await serving
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await fleet.close()
        fleet.observe.log("serving.stopped", "ended")


async def _open(fleet: Fleet, ending: asyncio.Event, *, wait: bool) -> bool:
    """Load the first version; False if the server was asked to end meanwhile."""
    opening, stopping = asyncio.create_task(fleet.open(wait=wait)), asyncio.create_task(ending.wait())
    await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not opening.done():
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        return False
    opening.result()
    return True
