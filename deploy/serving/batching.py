"""Groups questions of many requests into batches of similar length: the oldest question goes first, with similar ones."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.serving import ServingError
from deploy.serving.limits import Limits
from deploy.serving.worker_process import AnswerError, WorkerDiedError

_TRIES = 2  # a question whose worker dies is asked once more: perhaps it is what killed it
_RATE = 0.2  # weight of the newest batch in what is known of speed and of tokens a character
_COUNT_EVERY = 8  # batches between two whose tokens are counted


class BusyError(ServingError):
    """The queue is full. `after`: seconds after which it is worth asking again."""

    def __init__(self, after: float) -> None:
        super().__init__("too many questions wait; ask again later")
        self.after = after


class LateError(ServingError):
    """The deadline passed before there was an answer."""


class Responder(Protocol):
    """Answers batches: a worker process."""

    async def ask(self, do: str, within: float, **order: Any) -> dict[str, Any]:
        """Ask; `within` so many seconds there is an answer."""
        ...


@dataclass(frozen=True)
class Batch:
    """The size and time of one batch, for metrics."""

    rows: int
    tokens: int  # padding included, estimated
    seconds: float
    waited: float  # of the question that waited longest
    counted: Mapping[str, Any]  # tokens and unknown_share, now and then


@dataclass
class _Question:
    text: str
    tokens: int
    key: str  # questions with the same options can be asked together
    options: Mapping[str, Any]
    until: float
    since: float
    answer: asyncio.Future[dict[str, Any]]
    tries: int = 0


@dataclass
class Queue:
    """Waiting questions of one version, and how fast they go."""

    limits: Limits
    is_text: bool = True
    max_length: int = 512
    tokens_per_character: float = 0.3
    seconds_per_question: float = 0.01
    _waiting: deque[_Question] = field(default_factory=deque)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def retry_after(self) -> float:
        """Seconds until the queue will have shrunk by half, as fast as it goes."""
        return max(1.0, len(self._waiting) * self.seconds_per_question / 2)

    def has_room(self, count: int = 1) -> bool:
        """Whether `count` more questions may wait; as many as come at once into an empty queue always may."""
        return len(self._waiting) + count <= max(self.limits.queue, count)

    def check_room(self, count: int = 1) -> None:
        """BusyError when `count` more questions would be too many."""
        if not self.has_room(count):
            raise BusyError(self.retry_after)

    async def ask(
        self, texts: Sequence[str], options: Mapping[str, Any], key: str, until: float
    ) -> list[dict[str, Any]]:
        """The answers to these, in order; all of them by `until` (of `time.monotonic`), or LateError."""
        self.check_room(len(texts))
        loop, now = asyncio.get_running_loop(), time.monotonic()
        questions = [
            _Question(text, self.tokens(text), key, options, until, now, loop.create_future()) for text in texts
        ]
        self._waiting.extend(questions)
        self._came.set()
        try:
            async with asyncio.timeout(max(0.0, until - now)):
                return [await question.answer for question in questions]
        except TimeoutError:
            raise LateError("no answer within the deadline; send less, or ask again later") from None
        finally:
            for question in questions:  # the request has given up on the others
                if not question.answer.done():
                    question.answer.cancel()
                elif not question.answer.cancelled():
                    question.answer.exception()

    def tokens(self, text: str) -> int:
        """About how many tokens a text has, as the network sees it."""
        if not self.is_text:
            return max(1, self.limits.batch_tokens // 32)
        return min(self.max_length, 2 + math.ceil(len(text) * self.tokens_per_character))

    async def work(self, worker: Responder, on_batch: Callable[[Batch], None]) -> None:
        """Let a worker answer, batch after batch, until this is cancelled or the worker has died."""
        number = 0
        while True:
            batch = await self._next()
            number += 1
            try:
                await self._answer(worker, batch, on_batch, count=number % _COUNT_EVERY == 1)
            except WorkerDiedError as error:
                self._again(batch, error)
                return
            except asyncio.CancelledError:
                self._again(batch, None)
                raise

    async def _next(self) -> list[_Question]:
        """The next batch. Waits for one."""
        while True:
            if not self._waiting:
                self._came.clear()
                await self._came.wait()
            if self.limits.batch_wait and self._tokens_waiting() < self.limits.batch_tokens:
                await asyncio.sleep(self.limits.batch_wait)
            if batch := self._take():
                return batch

    def _tokens_waiting(self) -> int:
        total = 0
        for question in self._waiting:
            total += question.tokens
            if total >= self.limits.batch_tokens:
                break
        return total

    def _take(self) -> list[_Question]:
        """The oldest, and those that are most like it in length, as many as the bound of tokens has room for."""
        now = time.monotonic()
        alive = [one for one in self._waiting if not one.answer.done() and one.until > now]
        if not alive:
            self._waiting.clear()
            return []
        first = alive[0]  # one whose worker died may be what killed it: it is asked alone
        others = [] if first.tries else [one for one in alive[1:] if one.key == first.key and not one.tries]
        alike = sorted(others, key=lambda one: abs(one.tokens - first.tokens))
        batch, longest = [first], first.tokens
        for one in alike:
            if max(longest, one.tokens) * (len(batch) + 1) > self.limits.batch_tokens:
                break
            batch.append(one)
            longest = max(longest, one.tokens)
        taken = set(map(id, batch))
        self._waiting = deque(one for one in alive if id(one) not in taken)
        return batch

    async def _answer(
        self, worker: Responder, batch: list[_Question], on_batch: Callable[[Batch], None], *, count: bool
    ) -> None:
        started = time.monotonic()
        try:
            texts = [one.text for one in batch]
            order = {"inputs": texts, "options": batch[0].options, "count": count}
            found = await worker.ask("predict", self.limits.stuck, **order)
        except AnswerError as error:
            if len(batch) > 1:  # one of them is to blame: each is asked alone
                for one in batch:
                    await self._answer(worker, [one], on_batch, count=False)
                return
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(AnswerError(str(error), asker=error.asker))
            return
        seconds, columns = time.monotonic() - started, found["columns"]
        for place, one in enumerate(batch):
            if not one.answer.done():
                one.answer.set_result({name: values[place] for name, values in columns.items()})
        characters = sum(len(one.text) for one in batch)
        counted = {name: found[name] for name in ("tokens", "unknown_share") if found.get(name) is not None}
        if characters and "tokens" in counted:
            measured = counted["tokens"] / characters
            self.tokens_per_character += _RATE * (measured - self.tokens_per_character)
        self.seconds_per_question += _RATE * (seconds / len(batch) - self.seconds_per_question)
        tokens = len(batch) * max(one.tokens for one in batch)
        on_batch(Batch(len(batch), tokens, seconds, started - min(one.since for one in batch), counted))

    def _again(self, batch: list[_Question], error: WorkerDiedError | None) -> None:
        """Put questions back in front: another worker, or this one when it is back, answers them."""
        for one in reversed(batch):
            if one.answer.done():
                continue
            one.tries += error is not None
            if error is not None and one.tries >= _TRIES:
                message = f"the worker died twice while it was asked this: {error}"
                one.answer.set_exception(AnswerError(message, asker=False))
            else:
                self._waiting.appendleft(one)
        if self._waiting:
            self._came.set()
