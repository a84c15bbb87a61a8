"""A served model version: its workers, its queue, and the self-check before it takes requests."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from artifacts import atomic, model_files
from artifacts.model_files import Registered
from deploy.serving import VersionError
from deploy.serving.batching import Batch, BusyError, LateError, Queue
from deploy.serving.limits import Limits
from deploy.serving.worker_process import About, AnswerError, Piece, Process, WorkerDiedError
from models.devices import CPU, Compute

_CLOSE = 1e-3  # numbers of an answer may differ so much: another machine, another batch
_NEAR = {
    "float32": 1e-2,
    "float16": 1e-2,
    "bfloat16": 5e-2,
}  # or so much on another device (TF32) or in a lower precision
_WRITES = ("translate", "generate")  # endpoints whose answers are written token by token:
_FEW = 8  # one recorded answer in so many may take another turn there, or on another device
_EXAMPLES, _LONGEST_EXAMPLE = 8, 500  # questions to try it by, and characters of one
_AGAIN = (0.0, 0.5, 2.0, 5.0, 15.0, 30.0)  # seconds before a worker that died is restarted; the last repeats


@dataclass(frozen=True)
class RegisteredVersion(Registered):
    """A version as described by the registry or by its record on disk."""

    made_at: float = 0.0  # when it was registered, in seconds since 1970

    @cached_property
    def made_by(self) -> list[tuple[int, int]]:
        """Trace and span ids of the step that registered it; an empty list if its tags lack them."""
        trace, span = self.tag("trace_id"), self.tag("span_id")
        return [(int(trace, 16), int(span, 16))] if trace and span else []


@dataclass
class Version:
    """A version with processes that answer. `start`, then `ask`, then `close`."""

    known: RegisteredVersion
    limits: Limits
    workers: int
    threads: int
    compute: Compute
    log: Path
    on_batch: Callable[[Version, Batch], None]
    on_death: Callable[[Version, str], None]
    about: About = field(init=False)
    queue: Queue = field(init=False)
    ready_at: float = 0.0
    self_check: str = ""  # what was asked before it was let answer
    restarts: int = 0
    _running: list[Process | None] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _streams: int = 0

    @property
    def number(self) -> str:
        """Its number in the registry."""
        return self.known.number

    @property
    def recorded_answers(self) -> dict[str, Any]:
        """Questions and answers recorded at registration; empty for versions registered before these were recorded."""
        file = self.known.folder / model_files.ANSWERS
        return dict(atomic.read_json(file)) if file.is_file() else {}

    @cached_property
    def examples(self) -> list[str]:
        """Questions to try it by: some of those that were recorded at its registration, else its task's."""
        questions = self.recorded_answers.get("questions", []) if self.about.input == "text" else []
        short = [text for text in questions if text.strip() and len(text) <= _LONGEST_EXAMPLE]
        return list(dict.fromkeys(short))[:_EXAMPLES] or list(self.about.examples)

    @property
    def alive(self) -> int:
        """Workers that run."""
        return sum(one is not None and not one.ended.is_set() for one in self._running)

    @property
    def resident_bytes(self) -> int:
        """Resident memory of its workers."""
        return sum(one.resident_bytes for one in self._running if one is not None)

    @property
    def busy(self) -> bool:
        """Whether a request is waiting for it."""
        return bool(len(self.queue) or self._streams)

    async def start(self) -> None:
        """Check its files, start its workers, ask the recorded questions. VersionError gives the reason of a refusal."""
        if lacks := model_files.missing(self.known.folder):
            raise VersionError(f"lacks {', '.join(lacks)} among its files")
        if changed := await asyncio.to_thread(self.known.changed_parts):
            raise VersionError(f"{' and '.join(changed)} changed since it was registered")
        try:
            for _ in range(self.workers):
                self._running.append(await self._process())
            for one in self._running:
                assert one is not None
                self.about = await one.ready(self.limits.load)
            first = self._running[0]
            assert first is not None
            self.self_check = await _check(first, self.about, self.recorded_answers, self.compute, self.limits.load)
        except BaseException as error:
            await self.close()
            if isinstance(error, AnswerError | WorkerDiedError):
                raise VersionError(f"cannot answer the questions recorded at registration: {error}") from None
            raise
        self.queue = Queue(self.limits, self.about.input == "text", self.about.max_length)
        self.ready_at = time.time()
        self._tasks = [asyncio.create_task(self._keep(place)) for place in range(self.workers)]

    async def ask(self, texts: Sequence[str], options: Mapping[str, Any], until: float) -> list[dict[str, Any]]:
        """Answers to questions, in order. BusyError, LateError, AnswerError."""
        key = atomic.json_text(dict(options)) if options else ""
        return await self.queue.ask(texts, options, key, until)

    async def stream(self, text: str, options: Mapping[str, Any], until: float) -> AsyncGenerator[Piece]:
        """One answer in pieces. BusyError when as many as may are written already."""
        if self._streams >= self.limits.streams:
            raise BusyError(1.0)
        self._streams += 1
        try:
            pieces = self._least().stream(text, options, self.limits.stuck)
            while True:
                try:
                    async with asyncio.timeout(max(0.0, until - time.monotonic())):
                        piece = await anext(pieces)
                except TimeoutError:
                    await pieces.aclose()
                    raise LateError("the deadline passed while the answer was being written") from None
                except StopAsyncIteration:
                    return
                yield piece
        finally:
            self._streams -= 1

    async def attention(self, text: str) -> dict[str, Any]:
        """Every head's map for the beginning of a text."""
        return await asyncio.wait_for(
            self._least().ask("attention", self.limits.stuck, input=text), self.limits.deadline
        )

    async def close(self) -> None:
        """End its workers. Waiting requests get an error."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self._running:
            if one is not None:
                await one.close()
        self._running = []

    async def drain(self, seconds: float) -> None:
        """Wait until no request waits for it, for at most `seconds`."""
        until = time.monotonic() + seconds
        while self.busy and time.monotonic() < until:
            await asyncio.sleep(0.02)

    async def _process(self) -> Process:
        return await Process.start(self.known.folder, self.log, self.threads, self.compute)

    async def _keep(self, place: int) -> None:
        """Run a worker; restart it when it dies."""
        failures = 0
        while True:
            process = self._running[place]
            if process is not None:
                await self._work(process)
                self.restarts += 1
                self.on_death(self, f"worker {process.pid} of version {self.number} ended; it is restarted")
                failures = 0 if time.time() - self.ready_at > _AGAIN[-1] else failures
            await asyncio.sleep(_AGAIN[min(failures, len(_AGAIN) - 1)])
            failures += 1
            try:
                self._running[place] = fresh = await self._process()
                await fresh.ready(self.limits.load)
                self.ready_at = time.time()
            except VersionError as error:
                self.on_death(self, f"a worker of version {self.number} does not start: {error}")
                self._running[place] = None

    async def _work(self, process: Process) -> None:
        """Until the process ends, asked or not."""
        asking = asyncio.create_task(self.queue.work(process, lambda batch: self.on_batch(self, batch)))
        ending = asyncio.create_task(process.ended.wait())
        try:
            await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()  # a fault of ours must not be taken for the worker's
            await process.ended.wait()
        finally:
            ending.cancel()
            if not asking.done() and process.ended.is_set():
                await asyncio.wait({asking}, timeout=1.0)  # what it was asked goes back into the queue
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _least(self) -> Process:
        alive = [one for one in self._running if one is not None and not one.ended.is_set()]
        if not alive:
            raise BusyError(1.0)
        return min(alive, key=lambda one: one.open_orders)


async def _check(process: Process, about: About, recorded: Mapping[str, Any], compute: Compute, within: float) -> str:
    """Ask the recorded questions and compare. VersionError if an answer differs."""
    if not recorded:
        found = await process.ask("predict", within, inputs=list(about.examples), options={})
        if not found["columns"].get("prediction"):
            raise VersionError("does not answer its own example")
        return f"answers its {len(about.examples)} examples; nothing is recorded to compare them with"
    found = await process.ask("predict", within, inputs=recorded["questions"], options=recorded["options"])
    close = _CLOSE if compute == CPU else _NEAR[compute.precision]
    other: dict[int, str] = {}  # question -> how its answer differs
    for name, expected in recorded["answers"].items():
        answers = found["columns"].get(name)
        if answers is None or len(answers) != len(expected):
            raise VersionError(f"answers without {name}, which it was registered with")
        for place, (mine, known) in enumerate(zip(answers, expected, strict=True)):
            if not alike(mine, known, close):
                other.setdefault(place, f"{name} {_short(mine)}, where {_short(known)} was recorded")
    count = len(recorded["questions"])
    may_turn = about.endpoint in _WRITES or compute != CPU
    if len(other) > (count // _FEW if may_turn else 0):
        place, difference = min(other.items())
        raise VersionError(f"answers recorded question {place + 1} with {difference}")
    return f"gives {count - len(other)} of the {count} answers that were recorded when it was registered"


def alike(one: Any, other: Any, close: float = _CLOSE) -> bool:
    """Equal, but for what differs between machines in the last digits of numbers."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(alike(*pair, close) for pair in zip(one, other, strict=True))
    if isinstance(one, float) or isinstance(other, float):
        if one is None or other is None or isinstance(one, str) or isinstance(other, str):
            return one == other or (one is None and other != other)
        return math.isclose(one, other, rel_tol=close, abs_tol=close)
    return bool(one == other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
