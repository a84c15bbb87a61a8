"""Batches: who goes together, who goes first, and what becomes of those who cannot be answered."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.serving.batching import BusyError, LateError, Queue
from deploy.serving.limits import Limits
from deploy.serving.worker_process import AnswerError, WorkerDiedError


class Worker:
    """Answers each text with its length; keeps the batches."""

    def __init__(self, seconds=0.0):
        self.seconds, self.batches, self.options = seconds, [], []

    async def ask(self, do, within, *, inputs, options, count):
        self.batches.append(list(inputs))
        self.options.append(dict(options))
        await asyncio.sleep(self.seconds)
        if "bad" in inputs:
            raise AnswerError("a bug", asker=False)
        if "wrong" in inputs:
            raise AnswerError("no such option", asker=True)
        if "die" in inputs:
            raise WorkerDiedError("killed")
        counted = {"tokens": 3 * len(inputs), "unknown_share": 0.5} if count else {}
        return {"columns": {"prediction": [len(text) for text in inputs]}, **counted}


def run(queue, worker, asking, workers=1):
    """Let `asking` ask while workers work."""

    async def all_of_it():
        told = []
        working = [asyncio.create_task(queue.work(worker, told.append)) for _ in range(workers)]
        try:
            return await asking(queue), told
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    return asyncio.run(all_of_it())


def soon(seconds=5.0):
    return time.monotonic() + seconds


async def ask(queue, text, options=None, until=None):
    (answer,) = await queue.ask([text], options or {}, str(options or ""), until or soon())
    return answer["prediction"]


@settings(max_examples=30)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(16, 512), st.integers(1, 3))
def test_each_question_gets_its_own_answer_in_batches_within_the_limit(lengths, bound, workers):
    worker = Worker()
    queue = Queue(Limits(batch_tokens=bound, queue=1000), max_length=10_000, tokens_per_character=1.0)

    async def asking(queue):
        return await asyncio.gather(*(ask(queue, "x" * length) for length in lengths))

    answers, told = run(queue, worker, asking, workers)
    assert answers == lengths
    assert sum(len(batch) for batch in worker.batches) == len(lengths)
    for batch in worker.batches:
        assert len(batch) == 1 or len(batch) * (2 + max(map(len, batch))) <= bound
    assert sum(one.rows for one in told) == len(lengths)


def test_questions_queued_during_a_batch_are_grouped_by_length():
    worker = Worker(seconds=0.02)
    queue = Queue(Limits(batch_tokens=100), tokens_per_character=1.0)

    async def asking(queue):
        first = asyncio.create_task(ask(queue, "first"))
        await asyncio.sleep(0.005)
        lengths = [40, 8, 41, 9, 8, 42]
        await asyncio.gather(first, *(ask(queue, "x" * n) for n in lengths))

    run(queue, worker, asking)
    assert [[len(text) for text in batch] for batch in worker.batches] == [[5], [40, 41], [8, 8, 9], [42]]


def test_questions_with_different_options_are_batched_separately():
    worker = Worker(seconds=0.01)
    queue = Queue(Limits())

    async def asking(queue):
        await asyncio.gather(*(ask(queue, "a", {"n": place % 2}) for place in range(8)))

    run(queue, worker, asking)
    assert {options["n"] for options in worker.options} == {0, 1}
    assert len(worker.batches) == 2


def test_a_request_of_many_questions_is_answered_in_order():
    worker = Worker()
    queue = Queue(Limits(batch_tokens=64), tokens_per_character=1.0)
    texts = ["x" * (1 + place % 37) for place in range(100)]

    async def asking(queue):
        return await queue.ask(texts, {}, "", soon())

    answers, _ = run(queue, worker, asking)
    assert [answer["prediction"] for answer in answers] == [len(text) for text in texts]


def test_full_queue_returns_retry_after():
    worker = Worker(seconds=0.05)
    queue = Queue(Limits(queue=4, batch_tokens=4), seconds_per_question=2.0)

    async def asking(queue):
        tasks = [asyncio.create_task(ask(queue, "x"))]
        await asyncio.sleep(0.01)  # one is asked, four wait
        tasks += [asyncio.create_task(ask(queue, "x")) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as refused:
            queue.check_room()
        with pytest.raises(BusyError):
            await queue.ask(["x"], {}, "", soon())
        await asyncio.gather(*tasks)
        return refused.value.after

    after, _ = run(queue, worker, asking)
    assert after == 4.0  # half of four questions at two seconds each


def test_expired_requests_time_out_and_are_not_computed():
    worker = Worker(seconds=0.1)
    queue = Queue(Limits(batch_tokens=4))

    async def asking(queue):
        first = asyncio.create_task(ask(queue, "first"))
        await asyncio.sleep(0.01)
        with pytest.raises(LateError):
            await ask(queue, "late", until=soon(0.02))
        await first
        await asyncio.sleep(0.12)

    run(queue, worker, asking)
    assert worker.batches == [["first"]]


@pytest.mark.parametrize(("text", "asker"), [("bad", False), ("wrong", True)])
def test_bad_question_does_not_fail_the_others_in_its_batch(text, asker):
    worker = Worker(seconds=0.01)
    queue = Queue(Limits())

    async def asking(queue):
        return await asyncio.gather(*(ask(queue, one) for one in ("a", text, "ccc")), return_exceptions=True)

    (one, bad, three), _ = run(queue, worker, asking)
    assert (one, three) == (1, 3)
    assert isinstance(bad, AnswerError)
    assert bad.asker is asker


def test_question_killing_its_worker_is_retried_once_and_others_are_answered():
    worker = Worker(seconds=0.01)
    queue = Queue(Limits())

    async def asking(queue):
        asked = [asyncio.create_task(ask(queue, one)) for one in ("a", "die", "ccc")]
        for _ in range(2):  # two workers after the first
            await asyncio.sleep(0.05)
            again = asyncio.create_task(queue.work(worker, lambda batch: None))
        found = await asyncio.gather(*asked, return_exceptions=True)
        again.cancel()
        return found

    (one, dead, three), _ = run(queue, worker, asking)
    assert (one, three) == (1, 3)
    assert isinstance(dead, AnswerError)
    assert "the worker died twice while it was asked this" in str(dead)
    assert sum("die" in batch for batch in worker.batches) == 2


def test_tokens_per_character_are_estimated_from_counted_batches():
    queue = Queue(Limits(), tokens_per_character=0.3)

    async def asking(queue):
        for _ in range(200):
            await ask(queue, "x" * 10)

    _, told = run(queue, Worker(), asking)
    assert 0.29 < queue.tokens_per_character <= 0.3
    assert [one.counted for one in told][:9] == [{"tokens": 3, "unknown_share": 0.5}] + [{}] * 7 + [
        {"tokens": 3, "unknown_share": 0.5}
    ]
