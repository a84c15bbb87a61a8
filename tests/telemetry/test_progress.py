import io
import itertools
import json
import sys
import threading

import pytest

from telemetry import Observe
from telemetry import progress as progress_module
from telemetry.progress import Progress, Silent, Waiting
from tests.waiting import until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands where it is put."""
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_plain_progress_prints_one_line_every_five_seconds(clock: list[float]) -> None:
    stream = io.StringIO()
    with Progress("pretrain", 800, "updates", terminal=False, stream=stream) as progress:
        for _ in range(100):
            clock[0] += 0.125
            progress.update(1, loss=5.2134, note="ok")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3  # after 5 s, after 10 s, and at the end
    assert lines[1] == "pretrain: 80/800 updates, 8.0 updates/s, loss 5.213, note ok, 1 min 30 s left"
    assert lines[2].startswith("pretrain: 100/800 updates, 8.0 updates/s")


def test_short_work_prints_no_progress(clock: list[float]) -> None:
    stream = io.StringIO()
    with Progress("read", None, "rows", terminal=False, stream=stream) as progress:
        progress.update(1000)
    assert stream.getvalue() == ""


def test_earlier_updates_do_not_count_towards_the_rate(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = Progress("pretrain", 800, "updates", terminal=False, stream=stream)
    progress.already(500)
    clock[0] += 10
    progress.update(10)
    assert stream.getvalue() == "pretrain: 510/800 updates, 1.0 updates/s\n"
    for _ in range(10):
        clock[0] += 1
        progress.update(1)
    assert stream.getvalue().splitlines()[-1] == "pretrain: 520/800 updates, 1.0 updates/s, 4 min 40 s left"


def left(clock: list[float], seconds: list[float], total: int = 1000) -> list[str]:
    """The time left that is told after updates that took so long each."""
    stream = io.StringIO()
    progress = Progress("pretrain", total, "updates", terminal=False, stream=stream)
    for took in seconds:
        clock[0] += took
        progress.update(1)
    told = [line.rpartition(", ")[2] for line in stream.getvalue().splitlines()]
    return [text for text in told if text.endswith("left")]


def test_time_left_is_hidden_until_the_rate_is_stable(clock: list[float]) -> None:
    assert left(clock, [800.0]) == [], "a first update that compiles something"
    assert left(clock, [800.0, 0.1, 0.1, 0.1, 0.1]) == []
    assert left(clock, [6.0, 6.0]) == []
    assert left(clock, [5.0, 2.5, 1.2, 0.6, 0.3, 0.15, 0.1, 0.1, 0.1] + [0.1] * 10) == [], "it still gets faster"


def test_time_left_uses_the_rate_of_the_last_half_minute(clock: list[float]) -> None:
    told = left(clock, [800.0] + [0.5] * 99)
    assert told[0] == "8 min 14 s left", "(1000 - 11) / 2, five seconds after the first"
    assert told[-1] == "7 min 34 s left"
    assert left(clock, [1.0] * 100 + [2.0] * 100)[-1] == "26 min 42 s left"
    assert left(clock, [10.0] * 50, total=10_000)[-1] == "27 h 38 min left"


@pytest.mark.parametrize("terminal", [True, False])
def test_exceeded_total_is_no_longer_shown(clock: list[float], terminal: bool) -> None:
    stream = io.StringIO()
    with Progress("predict", 5, "rows", terminal=terminal, stream=stream) as progress:
        for _ in range(3):
            clock[0] += 10
            progress.update(4)
    if not terminal:
        assert [line.split(",")[0] for line in stream.getvalue().splitlines()] == [
            "predict: 4/5 rows",
            "predict: 8 rows",
            "predict: 12 rows",
        ]


def test_json_progress_line_is_an_object(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = Progress("read", None, "rows", terminal=True, stream=stream, as_json=True)
    clock[0] += 10
    progress.update(10)
    assert json.loads(stream.getvalue()) == {"event": "progress", "message": "read: 10 rows, 1.0 rows/s"}


@pytest.mark.parametrize("terminal", [True, False])
def test_waiting_shows_the_elapsed_time(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LINES", 0.01)
    stream = io.StringIO()
    with Waiting("train tokenizer", terminal=terminal, stream=stream):
        until(lambda: "so far" in stream.getvalue())
    assert "train tokenizer: 0" in stream.getvalue()
    said = stream.getvalue()
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]
    assert stream.getvalue() == said


def test_waiting_survives_a_closed_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LINES", 0.01)
    stream = io.StringIO()
    stream.close()
    with Waiting("train tokenizer", terminal=False, stream=stream) as waiting:
        until(lambda: not waiting._thread.is_alive())


def test_terminal_shows_a_progress_bar() -> None:
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


def test_silent_progress_counts_but_prints_nothing(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with Silent() as progress:
        clock[0] += 100
        progress.update(3, loss=1.0)
    assert progress.done == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("node", "description", "shown"),
    [
        ("scratch", "finetune", "scratch: 5/9 updates"),
        ("finetune", "finetune", "finetune: 5/9 updates"),
        ("scratch", "predict", "scratch: predict: 5/9 updates"),
    ],
)
def test_lines_name_the_node_where_several_write(tmp_path, monkeypatch, capsys, clock, node, description, shown):
    monkeypatch.setenv(progress_module.SIDE_BY_SIDE, "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    about = {"pipeline": "docs", "run": "r1", "step": "finetune", "node": node}
    observe = Observe.open("glassformer", **about, outbox=tmp_path / "outbox")
    with observe.progress(description, 9, "updates") as progress:
        clock[0] += 6.0
        progress.update(5)
    observe.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(shown)] == lines, "lines, though this is a terminal"
