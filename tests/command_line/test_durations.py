"""Durations as text."""

import pytest

from command_line.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (8.34, "8.3 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s"),
        (3599.4, "59 min 59 s"), (3599.6, "1 h 00 min"), (3720, "1 h 02 min"), (99_480, "27 h 38 min"),
    ],
)  # fmt: skip
def test_duration_has_two_units_at_most_and_rounds_up_to_the_next(seconds, text):
    assert duration(seconds) == text


def test_duration_without_decimals_shows_whole_seconds():
    assert [duration(seconds, decimals=0) for seconds in (0.2, 59.4, 59.6)] == ["0 s", "59 s", "1 min 00 s"]
