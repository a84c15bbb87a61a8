import io
import itertools

import pytest

from telemetry import progress as progress_module
from telemetry.progress import Progress, Silent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands where it is put."""
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_one_plain_line_every_five_seconds(clock: list[float]) -> None:
    stream = io.StringIO()
    with Progress("pretrain", 800, "updates", terminal=False, stream=stream) as progress:
        for _ in range(100):
            clock[0] += 0.125
            progress.update(1, loss=5.2134, note="ok")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3  # after 5 s, after 10 s, and at the end
    assert lines[1] == "pretrain: 80/800 updates, 8.0 updates/s, loss 5.213, note ok, 1 min 30 s left"
    assert lines[2].startswith("pretrain: 100/800 updates, 8.0 updates/s")


def test_something_short_says_nothing(clock: list[float]) -> None:
    stream = io.StringIO()
    with Progress("read", None, "rows", terminal=False, stream=stream) as progress:
        progress.update(1000)
    assert stream.getvalue() == ""


def test_what_was_done_earlier_does_not_count_for_the_rate(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = Progress("pretrain", 800, "updates", terminal=False, stream=stream)
    progress.already(500)
    clock[0] += 10
    progress.update(10)
    assert stream.getvalue() == "pretrain: 510/800 updates, 1.0 updates/s, 4 min 50 s left\n"


def test_a_bar_on_a_terminal() -> None:
    stream = io.StringIO()
    with Progress("pretrain", 4, "updates", terminal=True, stream=stream) as progress:
        progress.already(2)
        for loss in (2.0, 1.0):
            progress.update(1, loss=loss)
        assert progress.done == 4
    assert "pretrain" in stream.getvalue()
    assert "2/4" in stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_closed_stream_raises_nothing(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0, 10)
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(ticks)))
    stream = io.StringIO()
    stream.close()
    with Progress("pretrain", 4, "updates", terminal=terminal, stream=stream) as progress:
        progress.update(1)
    assert progress.done == 1


def test_silent_counts_and_shows_nothing(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with Silent() as progress:
        clock[0] += 100
        progress.update(3, loss=1.0)
    assert progress.done == 3
    assert capsys.readouterr().err == ""
