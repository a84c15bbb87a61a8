"""Access control: host, origin and key are checked before the body of a request is read."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.serving.batching import BusyError
from deploy.serving.errors import RefusedError, body, refusal
from deploy.serving.server import Server

# Paths for load balancers and Prometheus, and the page that asks for the key: no user's text is in their answers.
OPEN = frozenset(
    {"/healthz", "/readyz", "/ping", "/health", "/metrics", "/", "/page.js", "/page.css", "/docs", "/docs.js"}
)
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")  # a name and a port, and nothing else
_ONCE = (b"host", b"origin", b"authorization", b"x-api-key", b"content-type")  # two of them: which one counts?
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
_BUSY = json.dumps(body(429, str(BusyError(1.0))), separators=(",", ":")).encode()
_FULL = b"".join(
    [
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: %d\r\ncontent-type: application/json\r\n",
        b"content-length: " + str(len(_BUSY)).encode() + b"\r\n",
        *(name + b": " + value + b"\r\n" for name, value in _HEADERS),
        b"\r\n",
        _BUSY,
    ]
)


@dataclass(frozen=True)
class Access:
    """Keys, hosts and origins that are let in."""

    key: str = ""  # empty: none is needed, which is for loopback alone
    hosts: Collection[str] = ()  # names in the Host header, in addition to those of this machine
    origins: Collection[str] = ()  # pages of elsewhere that may ask, as browsers name them

    def check(self, headers: Mapping[bytes, bytes], path: str) -> None:
        """RefusedError for a client without access."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if _name_of(host) not in {*_LOOPBACK, *self.hosts}:
            raise RefusedError(
                400, f"host {host[:100]!r} is not served here; start the server with --allowed-host", reason="host"
            )
        origin = _origin_of(headers)
        if origin and origin not in self.origins and origin not in (f"http://{host}", f"https://{host}"):
            raise RefusedError(
                403, f"pages of {origin[:100]!r} may not ask; start the server with --allowed-origin", reason="origin"
            )
        if self.key and path not in OPEN and not self._knows(headers):
            raise RefusedError(
                401, "give the key: Authorization: Bearer KEY", headers={"www-authenticate": "Bearer"}, reason="key"
            )

    def _knows(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            key = headers.get(b"x-api-key", b"")
        return hmac.compare_digest(key.strip(), self.key.encode())


def _origin_of(headers: Mapping[bytes, bytes]) -> str:
    """The requesting page's origin as sent by a browser, or an empty string."""
    return headers.get(b"origin", b"").decode("latin-1").lower()


def _name_of(host: str) -> str:
    """A host without its port; an empty string if it is not a host."""
    match = _HOST.fullmatch(host)
    return match[1] if match else ""


def _once(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name. RefusedError if one that decides on access, or on reading the body, is repeated."""
    known = dict(headers)
    if len(known) != len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                raise RefusedError(400, f"the header {name.decode()} is given twice", reason="header")
    return known


@dataclass
class Guard:
    """Middleware around the application: access checks, then handling common to all requests."""

    app: ASGIApp
    access: Access
    server: Server

    def full_response(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The complete HTTP response to a question that finds a full queue; empty for all other requests, including those without
        access and those of foreign pages, which are handled as usual."""
        if method != b"POST" or self.server.draining or not self.server.is_full(path := target.decode("latin-1")):
            return b""
        try:
            known = _once(headers)
            self.access.check(known, path)
        except RefusedError:
            return b""
        return b"" if b"origin" in known else _FULL % self.server.count_full(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = {}
        allowed = False

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                more: list[Any] = [*message.get("headers", []), *_HEADERS]
                if allowed:
                    more += [(b"access-control-allow-origin", headers[b"origin"]), (b"vary", b"origin")]
                if self.server.draining:  # the client's next request goes to another server
                    more.append((b"connection", b"close"))
                message["headers"] = more
            await send(message)

        try:
            headers = _once(scope["headers"])
            allowed = _origin_of(headers) in self.access.origins
            self.access.check(headers, scope["path"])
        except RefusedError as error:
            self.server.metrics.count_rejection(error.reason)
            await refusal(error.code, error.message, error.headers)(scope, receive, answer)
            return
        if scope["method"] == "OPTIONS" and allowed:
            await _preflight(answer)
            return
        await self.app(scope, receive, answer)


async def _preflight(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"authorization, content-type, x-api-key, x-canary-key"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
