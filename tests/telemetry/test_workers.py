"""Data workers, forked and spawned: no hang, and each record once, under the span that the parent was in."""

import multiprocessing
import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch.utils.data

from telemetry import Observe
from tests.step_process import counted, log_messages
from tests.telemetry.outbox_records import logs, open_observe, requests, spans

WORKERS, RECORDS = 4, 25
# Torch's own pin-memory and queue threads are alive when it forks, which Python 3.12 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def _no_trace_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)


def work(observe: Observe, number: int) -> None:
    for record in range(RECORDS):
        observe.log("corpus.written", f"{number}.{record}")
        observe.count("corpus.rows_read")
        observe.measure("training.update_seconds", 0.1, update=record)
    with observe.phase("read"):
        observe.metric("corpus.rows", 1.0)


class Rows(torch.utils.data.Dataset):  # type: ignore[misc, unused-ignore]
    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def __len__(self) -> int:
        return WORKERS

    def __getitem__(self, number: int) -> int:
        work(self._observe, number)
        return number


def run_processes(observe: Observe, method: Any) -> None:
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=work, args=(observe, number)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert [worker.exitcode for worker in workers] == [0] * WORKERS


def run_loader(observe: Observe, method: Any) -> None:
    rows = torch.utils.data.DataLoader(
        Rows(observe), batch_size=None, num_workers=2, multiprocessing_context=method, timeout=100
    )
    assert sorted(int(number) for number in rows) == list(range(WORKERS))


@pytest.mark.parametrize("run", [run_processes, run_loader])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_every_worker_record_is_written_once(tmp_path: Path, run: Any, method: str) -> None:
    observe = open_observe(tmp_path)
    with observe.span("step"):
        observe.count("corpus.rows_read", 1000)
        observe.log("corpus.written", "parent before")
        run(observe, method)
        observe.log("corpus.written", "parent after")
    observe.close()
    expected = sorted(f"{number}.{record}" for number in range(WORKERS) for record in range(RECORDS))
    assert sorted(log_messages(tmp_path / "outbox")) == sorted(
        [*expected, "parent before", "parent after", "step began"]
    )
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == len(expected) + 3
    assert counted(tmp_path / "outbox", "corpus.rows_read") == 1000 + WORKERS * RECORDS
    [step] = [s for r in requests(tmp_path, "traces") for s in _spans(r) if s.name == "step"]
    reads = [s for r in requests(tmp_path, "traces") for s in _spans(r) if s.name == "read"]
    assert len({span.span_id for span in reads}) == WORKERS
    assert {(span.trace_id, span.parent_span_id) for span in reads} == {(step.trace_id, step.span_id)}
    assert {record.span_id for record in logs(tmp_path)} == {step.span_id}


def _spans(request: Any) -> list[Any]:
    return [span for part in request.resource_spans for scope in part.scope_spans for span in scope.spans]


def test_a_worker_forked_while_other_threads_record_does_not_hang(tmp_path: Path) -> None:
    """Whatever lock a thread of the parent holds at that moment stays locked in the child."""
    observe, ending = open_observe(tmp_path), threading.Event()

    def record() -> None:
        while not ending.is_set():
            observe.log("corpus.written", "busy", level="debug")
            observe.count("corpus.rows_read")
            observe.measure("training.update_seconds", 0.1)

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    context = multiprocessing.get_context("fork")
    try:
        for number in range(20):
            worker = context.Process(target=work, args=(observe, number))
            worker.start()
            worker.join(30)
            assert worker.exitcode == 0, f"worker {number} hangs"
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    observe.close()
    said = [message for message in log_messages(tmp_path / "outbox") if message != "busy"]
    assert sorted(said) == sorted(f"{number}.{record}" for number in range(20) for record in range(RECORDS))


def test_the_parents_open_spans_are_not_ended_by_a_child(tmp_path: Path) -> None:
    """A child that is forked within a `with` and leaves it by an exception."""
    observe = open_observe(tmp_path)
    child = -1
    try:
        with observe.span("step"), observe.phase("train"):
            child = os.fork()
            if child == 0:
                raise KeyError("in the child")
    except KeyError:
        os._exit(0)
    os.waitpid(child, 0)
    observe.close()
    assert list(spans(tmp_path)) == ["train", "step"]


def test_pickled_observe_has_no_credentials_and_silent_stays_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "canary-1234")
    observe = open_observe(tmp_path, run="canary-1234")
    assert b"canary" not in pickle.dumps(observe)
    observe.close()
    silent = pickle.loads(pickle.dumps(Observe.silent()))
    silent.log("corpus.written", "nobody hears")
    assert silent.trace_id == ""


def test_worker_creates_no_segment_before_its_first_record(tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    observe.log("corpus.written", "parent")
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=sys.getsizeof, args=(1,))
    worker.start()
    worker.join(30)
    observe.close()
    assert len(list((tmp_path / "outbox" / "logs").glob("*.seg"))) == 1
