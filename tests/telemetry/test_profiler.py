"""The profiler of a step: which intervals are slow, the links of spans, and what keeps it from sampling."""

import os
import time

import pytest

from telemetry import profiler
from telemetry.profiler import FEWEST, SLOW, Profiler, SlowIntervals, is_wanted
from tests.telemetry.outbox_records import attributes, logs, open_observe, spans


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(profiler, "AFTER_S", 0.0)
    for name in ("TRACEPARENT", profiler.VARIABLE, "OTEL_SDK_DISABLED", "GLASSFORMER_EXPORTER_URL"):
        monkeypatch.delenv(name, raising=False)


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def wait_until(true, seconds=30.0):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


class Events:
    def __init__(self):
        self.names = []

    def log(self, event, message, *, level):
        self.names.append(event)


def dawdle():
    time.sleep(1.0)


def test_slow_intervals_need_some_before_them_and_exceed_the_median():
    slow = SlowIntervals()
    assert [slow.times(seconds) for seconds in (9.0, 1.0, 1.0, 1.0, 1.0)] == [0.0] * FEWEST
    assert slow.times(SLOW) == 0.0
    assert slow.times(3.0) == 3.0


def test_slow_interval_and_step_lead_to_graphs_with_the_slow_function(tmp_path):
    observe = open_observe(tmp_path)
    observe.profile()
    found = observe._profiler
    with observe.span("step"):
        wait_until(lambda: found._is_sampling)
        dawdle()  # py-spy has begun
        for first in range(1, 8):
            with observe.span("interval", first_update=first):
                time.sleep(0.05)
                if first == 7:
                    dawdle()
                observe.annotate(last_update=first)
    observe.close()
    found.process.wait(30)
    found._thread.join(30)
    [folder] = tmp_path.glob("**/profiles/*")
    address = f"http://127.0.0.1:9464/profiles/{folder.parent.parent.name}/{folder.name}"
    ended = spans(tmp_path)
    assert attributes(ended["step"])["flame_graph"] == f"{address}/step.svg"
    assert attributes(ended["interval"])["flame_graph"] == f"{address}/interval-7-7.svg"
    for name in ("step", "interval-7-7"):
        assert "dawdle (telemetry/test_profiler.py)" in (folder / f"{name}.folded").read_text()
        assert "dawdle (telemetry/test_profiler.py)" in (folder / f"{name}.svg").read_text()


def test_time_of_evaluations_and_checkpoints_makes_no_interval_slow(tmp_path):
    found = Profiler(tmp_path, str, Events())
    wait_until(lambda: found._is_sampling)
    for number in range(1, 7):
        assert found.span_ended("interval", 1.0, {"first_update": number, "last_update": number}) == ""
    found.span_ended("validate", 8.0, {})
    found.span_ended("checkpoint", 1.0, {})
    assert found.span_ended("interval", 10.0, {"first_update": 7, "last_update": 7}) == ""
    assert found.span_ended("interval", 10.0, {"first_update": 8, "last_update": 8}) == "interval-8-8"
    assert found.span_ended("interval", 10.0, {"first_update": 9}) == "", "it was interrupted before its first update"
    found.close(30)
    found._thread.join(30)


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "py-spy is not installed"), ("echo 'Permission Denied' >&2; exit 1", "no flame graphs: Permission Denied")],
)
def test_step_without_permission_or_py_spy_goes_on_and_says_so_once(tmp_path, monkeypatch, text, said):
    monkeypatch.setattr(profiler, "find_py_spy", lambda: text and program(tmp_path / "py-spy", text))
    observe = open_observe(tmp_path)
    observe.profile()
    with observe.span("step"):
        observe._profiler._thread.join(30)
    observe.close()
    [record] = [record for record in logs(tmp_path) if record.event_name == "profiler.off"]
    assert said in record.body.string_value
    assert "flame_graph" not in attributes(spans(tmp_path)["step"])


def test_close_does_not_wait_for_the_drawing(tmp_path, monkeypatch):
    monkeypatch.setattr(profiler, "find_py_spy", lambda: program(tmp_path / "py-spy", "trap '' INT; sleep 5"))
    found = Profiler(tmp_path, str, Events())
    wait_until(lambda: found._is_sampling)
    before = time.monotonic()
    found.close()
    assert time.monotonic() - before < 3
    found.process.kill()
    found.process.wait()
    found._thread.join(30)


def test_more_slow_intervals_than_are_kept_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(profiler.flame_graphs, "MOST_INTERVALS", 2)
    events = Events()
    found = Profiler(tmp_path, str, events)
    wait_until(lambda: found._is_sampling)
    for number, seconds in enumerate([1.0] * 10 + [2.0, 2.0, 2.0, 2.0]):
        found.span_ended("interval", seconds, {"first_update": number, "last_update": number})
    found.close(30)
    found._thread.join(30)
    assert events.names == ["profiler.full"]


@pytest.mark.parametrize("variable", [(profiler.VARIABLE, "off"), ("OTEL_SDK_DISABLED", "true")])
def test_variables_turn_it_off(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(*variable)
    assert not is_wanted()
    observe = open_observe(tmp_path)
    observe.profile()
    assert observe._profiler is None
    observe.close()


def test_wrong_value_is_named_in_one_line_and_nothing_is_sampled(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv(profiler.VARIABLE, "never")
    observe = open_observe(tmp_path)
    observe.profile()
    observe.close()
    assert "GLASSFORMER_PROFILER=never: must be on or off; no flame graphs are drawn" in capfd.readouterr().err
    assert observe._profiler is None


def test_forked_worker_has_no_profiler(tmp_path):
    observe = open_observe(tmp_path)
    observe.profile()
    found = observe._profiler
    child = os.fork()
    if child == 0:
        os._exit(0 if observe._profiler is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    observe.close()
    if found.process:
        found.process.wait(30)
        found._thread.join(30)
