"""Ask a server for a while, from many connections: started by benchmarks.serving as a process of its own, prints JSON.

    python -m benchmarks.serving_load URL TEXTS.json --clients 32 --seconds 10            each asks again when answered
    python -m benchmarks.serving_load URL TEXTS.json --rate 800 --seconds 60 --clients 256   so many requests a second

Plain asyncio streams and connections that are kept: the client shares two cores with what it measures, and must cost little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import uvloop


class Client:
    """Connections to one server, and what came of their requests."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self.port, self.bodies, self.number = port, bodies, 0
        self.seconds: list[float] = []  # of requests that were answered 200
        self.codes: dict[int, int] = {}

    def _next(self) -> bytes:
        body = self.bodies[self.number % len(self.bodies)]
        self.number += 1
        head = f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async def ask(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """One request on a connection."""
        reader, writer = streams
        began = time.perf_counter()
        writer.write(self._next())
        head = await reader.readuntil(b"\r\n\r\n")
        code, length = int(head[9:12]), 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        await reader.readexactly(length)
        self.codes[code] = self.codes.get(code, 0) + 1
        if code == 200:
            self.seconds.append(time.perf_counter() - began)

    async def closed(self, clients: int, seconds: float) -> float:
        """Each client asks again when it is answered. Returns how long it really took."""
        end = time.perf_counter() + seconds

        async def one() -> None:
            streams = await asyncio.open_connection("127.0.0.1", self.port)
            while time.perf_counter() < end:
                await self.ask(streams)
            streams[1].close()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        return time.perf_counter() - began

    async def open(self, rate: float, connections: int, seconds: float) -> float:
        """So many requests a second, whether or not they are answered, as far as there are connections that are free."""
        free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        for _ in range(connections):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", self.port))
        tasks: set[asyncio.Task[None]] = set()

        async def one(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
            await self.ask(streams)
            free.put_nowait(streams)

        began, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            while sent < now * rate:
                sent += 1
                if free.empty():
                    self.codes[0] = self.codes.get(0, 0) + 1  # nobody is left to ask with
                    continue
                task = asyncio.create_task(one(free.get_nowait()))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
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
        else client.closed(options.clients, options.seconds)
    )
    seconds = uvloop.run(asking)
    found = sorted(client.seconds) or [0.0]
    print(json.dumps({
        "seconds": seconds, "codes": client.codes, "rate": len(client.seconds) / seconds,
        "p50": found[len(found) // 2], "p99": found[min(len(found) - 1, int(0.99 * len(found)))],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
