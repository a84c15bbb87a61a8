"""CPU seconds are counted in calls of telemetry, and not in what a span goes around."""

import pytest

from benchmarks import telemetry_run
from benchmarks.telemetry_run import Metered
from telemetry import Observe


@pytest.fixture
def clock(monkeypatch):
    """The thread's CPU clock, which advances only when a test says so."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(telemetry_run.time, "thread_time", lambda: Clock.now)
    return Clock


def costing(clock, seconds):
    def method(self, *_, **__):
        clock.now += seconds

    return method


def test_cpu_time_of_failing_calls_is_counted(clock):
    observe = Metered.silent()
    telemetry_run._timing(costing(clock, 2.0))(observe)

    def failing(self):
        clock.now += 3.0
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised right here, without words
        telemetry_run._timing(failing)(observe)
    assert observe.spent == 5.0


def test_span_cost_excludes_time_inside_the_span(clock, monkeypatch):
    observe = Metered.silent()
    monkeypatch.setattr(Observe, "_start_span", costing(clock, 1.0))
    monkeypatch.setattr(Observe, "_end_spans", costing(clock, 0.5))
    with observe.phase("validate"):
        clock.now += 100.0
    assert observe.spent == 1.5
    assert observe.around_training == []


def test_train_phase_records_cost_before_and_after(clock, monkeypatch):
    observe = Metered.silent()
    monkeypatch.setattr(Observe, "_end_spans", costing(clock, 0.5))
    with observe.phase("train"):
        observe.spent += 2.0
    (own, _), (own_then, _) = observe.around_training
    assert own_then - own == pytest.approx(2.0)


def test_metered_overrides_all_recording_methods():
    for name in ("log", "metric", "count", "measure", "span", "progress"):
        assert name in vars(Metered), f"Metered counts {name}"
