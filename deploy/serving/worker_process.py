"""A worker process as the server holds it: orders in, answers out, many at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.serving import ServingError, VersionError
from models.devices import CPU, Compute

_LENGTH = struct.Struct(">I")
_LAST_WORDS = 2000  # characters of what a worker wrote before it ended
_LARGEST = 256 << 20  # bytes of an answer

Piece = str | dict[str, Any]  # of an answer in pieces; the last one is a dict


class WorkerDiedError(ServingError):
    """The process ended while it was asked."""


class AnswerError(ServingError):
    """The worker refused or failed. `asker`: the question was wrong."""

    def __init__(self, message: str, *, asker: bool) -> None:
        super().__init__(message)
        self.asker = asker


@dataclass(frozen=True)
class About:
    """A version's task, input and options, as its worker reported them."""

    task: str
    title: str
    input: str  # text or image
    endpoint: str
    examples: Sequence[str]
    options: Mapping[str, Any]  # JSON schema
    labels: Sequence[str]
    max_length: int
    summary: str
    streams: bool


class Process:
    """One worker, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process, self._log = process, log
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Queue[dict[str, Any] | None]] = {}
        self._ready: asyncio.Future[About] = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())  # it need not be awaited
        self.ended = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, folder: Path, log: Path, threads: int, compute: Compute = CPU) -> Process:
        """Start one; it loads the version in `folder` and writes its output to `log`."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        # Its threads sleep between two batches: a spinning one takes a core from the server, which shares the machine.
        environment |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "OMP_NUM_THREADS": str(threads)}
        environment |= compute.environment()  # versions registered before there was a choice answer on the CPU
        # oneDNN keeps what it has compiled for each shape, and batches have many: a worker grew by a quarter in a minute of
        # load, and is no slower with few.
        environment.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
        with log.open("ab") as errors:
            # -P: the folder of the script, which is ours, is not on its path. Its own session: Ctrl-C is for the server,
            # which lets its workers finish.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-W", "ignore", str(Path(__file__).with_name("worker.py")), str(folder),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors, cwd=folder, env=environment,
                start_new_session=True,
            )  # fmt: skip
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def open_orders(self) -> int:
        """Orders that it has not answered yet, streams among them."""
        return len(self._answers)

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the process; 0 after its end."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    async def ready(self, within: float) -> About:
        """Wait until it has loaded. VersionError when it does not."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), within)
        except TimeoutError:
            raise VersionError(f"is not loaded after {within:.0f} s") from None

    async def ask(self, do: str, within: float, **order: Any) -> dict[str, Any]:
        """One order, one answer. AnswerError, WorkerDiedError; a worker that has not answered `within` seconds is ended."""
        async with self._place_order(do, order) as (_, answers):
            return await self._next(answers, within)

    async def stream(self, text: str, options: Mapping[str, Any], within: float) -> AsyncGenerator[Piece]:
        """The pieces of an answer, each `within` so many seconds; last, how much of the text was read. Closing
        the generator stops it."""
        async with self._place_order("stream", {"input": text, "options": dict(options)}) as (number, answers):
            finished = False
            try:
                while True:
                    answer = await self._next(answers, within)
                    if answer.pop("end", False):
                        finished = True
                        if answer:
                            yield answer
                        return
                    yield str(answer["piece"])
            finally:
                if not finished and not self.ended.is_set():
                    self._send({"id": number, "do": "cancel"})

    async def close(self) -> None:
        """End it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        await self._reader

    @contextlib.asynccontextmanager
    async def _place_order(
        self, do: str, order: Mapping[str, Any]
    ) -> AsyncIterator[tuple[int, asyncio.Queue[dict[str, Any] | None]]]:
        if self.ended.is_set():
            raise WorkerDiedError(self._last_words())
        number = next(self._numbers)
        answers = self._answers[number] = asyncio.Queue[dict[str, Any] | None]()
        try:
            self._send({"id": number, "do": do, **order})
            yield number, answers
        finally:
            del self._answers[number]

    def _send(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        data = json.dumps(order, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self._process.stdin.write(_LENGTH.pack(len(data)) + data)

    async def _next(self, answers: asyncio.Queue[dict[str, Any] | None], within: float) -> dict[str, Any]:
        try:
            answer = await asyncio.wait_for(answers.get(), within)
        except TimeoutError:
            self._process.kill()
            raise WorkerDiedError(f"it has not answered after {within:g} s, and was ended") from None
        if answer is None:
            raise WorkerDiedError(self._last_words())
        if "error" in answer:
            raise AnswerError(str(answer["error"]), asker=bool(answer["asker"]))
        return answer

    async def _read(self) -> None:
        output = self._process.stdout
        assert output is not None
        try:
            while True:
                (length,) = _LENGTH.unpack(await output.readexactly(_LENGTH.size))
                if length > _LARGEST:
                    raise ValueError("an answer is too large")
                self._take(json.loads(await output.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        self.ended.set()
        for answers in self._answers.values():
            answers.put_nowait(None)
        if not self._ready.done():
            self._ready.set_exception(VersionError(f"cannot be loaded: {self._last_words()}"))

    def _take(self, answer: dict[str, Any]) -> None:
        if answer.pop("ready", None):
            self._ready.set_result(About(**answer))
        elif queue := self._answers.get(answer.pop("id")):  # else the request has given up
            queue.put_nowait(answer)

    def _last_words(self) -> str:
        try:
            lines = self._log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else f"it ended with {self._process.returncode}"
