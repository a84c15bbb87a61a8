"""Extremes since metrics were last written."""

import math

from telemetry.extremes import Extreme


def test_extreme_is_of_the_values_since_it_was_last_taken() -> None:
    highest = Extreme(max)
    assert highest.take() == []
    for value in (1.0, 7.0, 2.0, math.inf, math.nan):
        highest.add(value)
    assert highest.take() == [7.0]
    highest.add(3.0)
    assert highest.take() == [3.0]
    assert highest.take() == []
