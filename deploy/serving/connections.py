"""Connections: how many there may be, how long a request may take to come, and how long its headers may be.

uvicorn bounds idle connections alone. A client that sends a header a minute, or half a body, would hold one for ever; and one whose
header never ends would be kept whole, and copied with each piece that comes, while all others wait.
Requests that find a full queue are rejected here, before a task is made of it: under overload most requests end that way,
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
_PIECE = 16 << 10  # bytes that are parsed before they are counted
_TARGET = 8 << 10  # bytes of a request's path and query
_ARRIVES = 0.2  # seconds in which a refusal arrives
FullResponse = Callable[[bytes, bytes, list[tuple[bytes, bytes]]], bytes]


class Connections:
    """The bounds of all connections of one server. `full_response`: of method, target and headers of a request, all that it is
    answered when that is known without reading on; else nothing."""

    def __init__(self, limits: Limits, full_response: FullResponse = lambda method, target, headers: b"") -> None:
        self.limits, self.full_response = limits, full_response
        self.open: set[BoundedProtocol] = set()
        self.refused = 0  # beyond the bound
        self.cut = 0  # for their slowness
        self.overlong = 0  # for their headers

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
class _Refused:
    """Placeholder for uvicorn's request cycle once a request is answered: the rest of its body is dropped."""

    response_complete: bool = True
    message_event: asyncio.Event = field(default_factory=asyncio.Event)


_REFUSED: Any = _Refused()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `until`: when what it has begun to say must be there; 0 while it is we who have to answer. `pending`: bytes since
    there was last something to act on: a request's headers, a part of its body, its end. `over`: refused, and read no further."""

    bounds: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrowed, as uvicorn does
        """Count the connection; one too many is rejected and closed."""
        self.until, self.has_headers = time.monotonic() + self.bounds.limits.header, False
        self.pending, self.over, self.url = 0, False, b""
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
        """Parse it piece by piece: refused requests and closed connections are read no further."""
        for start in range(0, len(data), _PIECE):
            if self.over or self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            self.pending += len(piece)
            super().data_received(piece)
            if self.pending > self.bounds.limits.headers and not self.over and not self.transport.is_closing():
                self._refuse_headers()

    def on_message_begin(self) -> None:
        """A request begins."""
        self.until, self.has_headers = time.monotonic() + self.bounds.limits.header, False
        self.pending = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the time limit of the body; the application reports a missing body a little earlier."""
        self.until, self.has_headers = time.monotonic() + self.bounds.limits.upload + 1, True
        self.pending = 0
        if len(self.headers) > self.bounds.limits.fields or len(self.url) > _TARGET:
            self._refuse_headers()
            self.cycle = _REFUSED
        elif self._is_plain() and (
            reply := self.bounds.full_response(self.parser.get_method(), self.url, self.headers)
        ):
            self.cycle = _REFUSED
            self.transport.write(reply)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body: it is getting on."""
        self.pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        self.until = 0.0
        self.pending = 0
        super().on_message_complete()
        if self.cycle.response_complete:  # answered before: uvicorn counted from then, and stopped with the next byte
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def send_400_response(self, msg: str) -> None:
        """No HTTP: answered in the form of all refusals."""
        self._say(400, "the request is not HTTP/1.1 that can be read")

    def _refuse_headers(self) -> None:
        """Refuse headers, or data after a body, beyond the bound, unless an answer is being written already."""
        self.bounds.overlong += 1
        self.over, self.until = True, 0.0
        if not self._is_alone():
            self.transport.close()
            return
        if len(self.url) > _TARGET:
            self._write(414, f"the address is longer than {_TARGET} bytes; send a question in the body of a POST")
        else:
            limits = self.bounds.limits
            self._write(431, f"headers of more than {limits.headers} bytes, or more than {limits.fields} of them")
        # A connection that is closed with something unread is reset, and the answer with it: it is given time to arrive.
        self.transport.pause_reading()
        self.loop.call_later(_ARRIVES, self.transport.close)

    def _is_alone(self) -> bool:
        """Whether no request before this one waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    def _is_plain(self) -> bool:
        """Whether no request is queued before this one, the client reads its answers, and keeps the connection."""
        alone = self._is_alone() and not self.flow.write_paused
        stays = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        return alone and stays and not self.parser.should_upgrade()

    def give_up(self) -> None:
        """The request has taken too long: answer with an error, if nothing has been answered yet."""
        self.until = 0.0
        if self.has_headers:
            self.transport.close()
        else:
            self._say(408, "the request did not come within its time")

    def _say(self, code: int, message: str) -> None:
        self._write(code, message)
        self.transport.close()

    def _write(self, code: int, message: str) -> None:
        reply = json.dumps(body(code, message)).encode()
        head = f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(reply)}\r\nconnection: close\r\n\r\n".encode() + reply)
