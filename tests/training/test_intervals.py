"""Each interval of a training is one span: record and exemplars name it, and it ends in whatever way the training does."""

import signal
import time

import pytest
import torch

from telemetry import Interrupted, profiler
from tests.signals import put_back
from tests.small_training import Hooked, backend, kill_at, poison, raising_at, same, train
from tests.telemetry.outbox_records import attributes, open_observe, points, requests
from training.errors import TrainingError
from training.update_log import Updates


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.delenv("TRACEPARENT", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def intervals(folder):
    """(first, last, span id, status) of each interval's span, in the order they ended."""
    ended = [
        span
        for request in requests(folder, "traces")
        for about in request.resource_spans
        for scope in about.scope_spans
        for span in scope.spans
        if span.name == "interval"
    ]
    return [(*(attributes(span)[f"{name}_update"] for name in ("first", "last")), span) for span in ended]


def test_interval_spans_are_referenced_by_update_log_and_exemplars(tmp_path):
    observe = open_observe(tmp_path)
    with observe.span("step"):
        result = train(tmp_path / "work", observe, max_updates=12)
    trace_id = observe.trace_id
    observe.close()
    found = intervals(tmp_path)
    assert [(first, last) for first, last, _ in found] == [(1, 5), (6, 10), (11, 12)]
    entries = Updates.within(tmp_path / "work").between(1, 99)
    names = {update: span.span_id.hex() for first, last, span in found for update in range(first, last + 1)}
    assert {entry.update: entry.span_id for entry in entries} == names
    assert {entry.trace_id for entry in entries} == {trace_id}
    exemplars = [
        one for point in points(tmp_path)["training.update_loss"].histogram.data_points for one in point.exemplars
    ]
    assert exemplars
    for one in exemplars:
        (update,) = (pair.value.int_value for pair in one.filtered_attributes if pair.key == "update")
        assert one.span_id.hex() == names[update]
    assert same(result, train(tmp_path / "silent", max_updates=12)), "telemetry changes nothing"


@pytest.mark.parametrize(("how", "last"), [("signal", 8), ("error", 7), ("not finite", 8)])
def test_interrupted_interval_ends_with_its_last_update(tmp_path, how, last):
    observe = open_observe(tmp_path)
    chosen = {
        "signal": lambda: Hooked(backend(), kill_at(7)),
        "error": lambda: Hooked(backend(), raising_at(7)),
        "not finite": lambda: poison(backend(), 7)[0],
    }[how]()
    with put_back():
        observe.install_signal_handlers()
        with pytest.raises((Interrupted, RuntimeError, TrainingError)), observe.span("step"):
            train(tmp_path / "work", observe, chosen)
        observe.close()
    *before, (first, until, span) = intervals(tmp_path)
    assert [(one, other) for one, other, _ in before] == [(1, 5)]
    assert (first, until) == (6, last)
    assert span.status.code == 2
    assert span.end_time_unix_nano >= span.start_time_unix_nano


def dawdle():
    time.sleep(1.0)


def test_slow_interval_of_a_training_leads_to_a_graph_with_the_slow_function(tmp_path, monkeypatch):
    monkeypatch.setattr(profiler, "AFTER_S", 0.0)
    monkeypatch.delenv(profiler.VARIABLE, raising=False)
    observe = open_observe(tmp_path)
    observe.profile()
    found = observe._profiler

    def before(update, _):
        if update == 0:
            until = time.monotonic() + 30
            while not found._is_sampling and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(1.0)  # py-spy has begun
        if update == 21:
            dawdle()

    train(tmp_path / "work", observe, Hooked(backend(), before), max_updates=24, log_every=2)
    observe.close()
    found.process.wait(30)
    found._thread.join(30)
    links = {first: attributes(span).get("flame_graph", "") for first, _, span in intervals(tmp_path)}
    assert links[21].endswith("/interval-21-22.svg")
    [stacks] = tmp_path.glob("**/profiles/*/interval-21-22.folded")
    assert "dawdle (training/test_intervals.py)" in stacks.read_text()
    assert stacks.with_suffix(".svg").is_file()
