"""Ask a server for a while, from many connections: started by benchmarks.serving as a process of its own, prints JSON.

    python -m benchmarks.serving_load PORT TEXTS.json --clients 32 --seconds 10            each asks again when answered
    python -m benchmarks.serving_load PORT TEXTS.json --rate 800 --seconds 60 --clients 256   so many requests a second

Callbacks on connections that are kept, no task for a request: the client shares two cores with what it measures, and must
cost little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

import uvloop


class Connection(asyncio.Protocol):
    """One connection, on which one request at a time is open. `on_answer` is called with each answer."""

    transport: asyncio.Transport  # set by the opener

    def __init__(self, on_answer: Callable[[Connection, int, float], None]) -> None:
        self._done, self._data, self._whole, self._began = on_answer, bytearray(), 0, 0.0

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self._began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A part of an answer, which may be its end."""
        self._data += data
        if not self._whole and (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            self._whole = end + 4 + int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if self._whole and len(self._data) >= self._whole:
            code = int(self._data[9:12])
            self._data.clear()
            took, self._began, self._whole = time.perf_counter() - self._began, 0.0, 0
            self._done(self, code, took)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record which side closed the connection."""
        if self._began:
            raise SystemExit(f"the server closed a connection on which a request was open: {exc or 'end of file'}")

    def close(self) -> None:
        """Nothing more is asked."""
        self.transport.close()


class Client:
    """Connections to one server, and what came of their requests."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        head = "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        self._requests = [head.format(len(body)).encode() + body for body in bodies]
        self._port, self._number = port, 0
        self.seconds: list[float] = []  # of requests that were answered 200
        self.codes: Counter[int] = Counter()

    def _next(self) -> bytes:
        self._number += 1
        return self._requests[self._number % len(self._requests)]

    def _count(self, code: int, seconds: float) -> None:
        self.codes[code] += 1
        if code == 200:
            self.seconds.append(seconds)

    async def _open(self, on_answer: Callable[[Connection, int, float], None]) -> Connection:
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(lambda: Connection(on_answer), "127.0.0.1", self._port)
        connection.transport = transport
        return connection

    async def run_closed_loop(self, clients: int, seconds: float) -> float:
        """Closed loop: each client sends its next request after an answer. Returns the elapsed seconds."""
        ended = asyncio.Event()
        open_ = 0

        def on_answer(one: Connection, code: int, took: float) -> None:
            nonlocal open_
            self._count(code, took)
            if time.perf_counter() < end:
                one.ask(self._next())
                return
            one.close()
            open_ -= 1
            if not open_:
                ended.set()

        connections = [await self._open(on_answer) for _ in range(clients)]
        began = time.perf_counter()
        end, open_ = began + seconds, clients
        for one in connections:
            one.ask(self._next())
        await ended.wait()
        return time.perf_counter() - began

    async def open(self, rate: float, connections: int, seconds: float) -> float:
        """Open loop: `rate` requests a second regardless of answers, as far as connections are free."""

        def on_answer(one: Connection, code: int, took: float) -> None:
            self._count(code, took)
            free.append(one)

        free = deque([await self._open(on_answer) for _ in range(connections)])
        began, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            while sent < now * rate:
                sent += 1
                if free:
                    free.popleft().ask(self._next())
                else:
                    self.codes[0] += 1  # no connection is free
            await asyncio.sleep(0.002)
        while len(free) < connections:
            await asyncio.sleep(0.002)
        return time.perf_counter() - began


def main() -> None:
    """Parse the command line, ask, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("port", type=int)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    texts = json.loads(options.texts.read_text())
    bodies = [json.dumps({"dataframe_split": {"columns": ["text"], "data": [[text]]}}).encode() for text in texts]
    client = Client(options.port, bodies)
    asking = (
        client.open(options.rate, options.clients, options.seconds)
        if options.rate
        else client.run_closed_loop(options.clients, options.seconds)
    )
    seconds = uvloop.run(asking)
    found = sorted(client.seconds) or [0.0]
    print(json.dumps({
        "seconds": seconds, "codes": client.codes, "rate": len(client.seconds) / seconds,
        "p50": found[len(found) // 2], "p99": found[min(len(found) - 1, int(0.99 * len(found)))],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
