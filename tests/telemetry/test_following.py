"""Watching another process deliver: what waited counts, until its segment is delivered or gone."""

from pathlib import Path

import pytest

from telemetry import delivery_state, following
from telemetry.following import Waiting, follow
from telemetry.outbox import Outbox
from telemetry.segments import read_segment, segments
from tests.telemetry.receiver import log_request


def write(folder: Path, *messages: str) -> Path:
    outbox = Outbox(folder)
    for message in messages:
        outbox.append("logs", log_request(message))
    outbox.close()
    return segments(folder, "logs")[-1]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list:
    """Acts of the pauses, one after another; time does not pass."""
    acts: list = []
    monkeypatch.setattr(following.time, "sleep", lambda seconds: acts.pop(0)() if acts else None)
    return acts


def test_records_that_waited_are_followed_and_later_ones_are_not(tmp_path: Path, steps: list) -> None:
    first, second = write(tmp_path, "a", "b", "c"), write(tmp_path, "d")
    ends = [frame.end for frame in read_segment(first)]
    delivery_state.acknowledge(first, ends[0])
    waiting, seen = Waiting(tmp_path, ["logs"]), []
    assert waiting.total == 3
    steps += [
        lambda: write(tmp_path, "later"),
        lambda: delivery_state.acknowledge(first, ends[2]),
        lambda: delivery_state.forget(second),
    ]
    assert follow(waiting, 10.0, lambda: False, seen.append)
    assert seen == [2, 1]
    assert delivery_state.waiting(tmp_path, "logs").records == 1, "the later one"


def test_following_ends_without_progress_and_when_nobody_delivers(tmp_path: Path, steps: list) -> None:
    write(tmp_path, "a")
    waiting = Waiting(tmp_path, ["logs"])
    assert not follow(waiting, -1.0, lambda: False, print)
    assert not follow(waiting, 10.0, lambda: True, print)
    assert waiting.rest == 1
