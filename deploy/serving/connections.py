"""Connections: how many there may be, and how long one may take over saying what it wants.

uvicorn bounds idle connections alone. A client that sends a header a minute, or half a body, would hold one for ever.
And what a full queue does not take is told so here, before a task is made of it: under overload most requests end that way,
and what each costs is taken from those that are answered.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deploy.serving.errors import body
from deploy.serving.limits import Limits

_SWEEP = 0.5  # seconds between two looks
Turned = Callable[[bytes, bytes, list[tuple[bytes, bytes]]], bytes]


class Connections:
    """The bounds of all connections of one server. `turned_away`: of method, target and headers of a request, all that it is
    answered when that is known without reading on; else nothing."""

    def __init__(self, limits: Limits, turned_away: Turned = lambda method, target, headers: b"") -> None:
        self.limits, self.turned_away = limits, turned_away
        self.open: set[BoundedProtocol] = set()
        self.refused = 0  # beyond the bound
        self.cut = 0  # for their slowness

    def protocol(self) -> type[BoundedProtocol]:
        """uvicorn's protocol, within these bounds."""
        return type("Bounded", (BoundedProtocol,), {"bounds": self})

    async def sweep(self) -> None:
        """Close what takes too long, until this is cancelled."""
        while True:
            await asyncio.sleep(_SWEEP)
            now = time.monotonic()
            for one in list(self.open):
                if one.until and now > one.until:
                    self.cut += 1
                    one.give_up()


@dataclass(frozen=True)
class _Told:
    """Stands where uvicorn keeps a request's answer, of one that has it already: what comes of its body is dropped."""

    response_complete: bool = True
    message_event: asyncio.Event = field(default_factory=asyncio.Event)


_TOLD: Any = _Told()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `until`: when what it has begun to say must be there; 0 while it is we who have to answer."""

    bounds: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrowed, as uvicorn does
        """Count it; one too many is told so and closed."""
        self.until, self.has_headers = time.monotonic() + self.bounds.limits.header, False
        super().connection_made(transport)
        if len(self.bounds.open) >= self.bounds.limits.connections:
            self.bounds.refused += 1
            self._say(503, "too many connections; ask again later")
            return
        self.bounds.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.bounds.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What a connection says that was closed is not read."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self.until, self.has_headers = time.monotonic() + self.bounds.limits.header, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its body has as long as a body may take; the application says that it did not come, a little earlier."""
        self.until, self.has_headers = time.monotonic() + self.bounds.limits.upload + 1, True
        if self._is_plain() and (told := self.bounds.turned_away(self.parser.get_method(), self.url, self.headers)):
            self.cycle = _TOLD
            self.transport.write(told)
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self.until = 0.0
        super().on_message_complete()
        if self.cycle.response_complete:  # answered before: uvicorn counted from then, and stopped with the next byte
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _is_plain(self) -> bool:
        """Whether nobody waits before this request, the client reads what it is told, and goes on with the connection."""
        alone = (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused
        stays = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        return alone and stays and not self.parser.should_upgrade()

    def give_up(self) -> None:
        """It has taken too long: told so, if nothing was told yet."""
        self.until = 0.0
        if self.has_headers:
            self.transport.close()
        else:
            self._say(408, "the request did not come within its time")

    def _say(self, code: int, message: str) -> None:
        told = json.dumps(body(code, message)).encode()
        head = f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(told)}\r\nconnection: close\r\n\r\n".encode() + told)
        self.transport.close()
