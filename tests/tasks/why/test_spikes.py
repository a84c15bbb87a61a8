"""Spikes, on curves that can be worked out by hand."""

import math
import random
import statistics

import pytest

from tasks.why.spikes import spikes, worst


def scored(values):
    return spikes(range(1, len(values) + 1), values)


def test_first_ten_updates_have_no_spike_ratio():
    found = scored([9.0] * 10 + [9.0])
    assert [spike.times for spike in found] == [None] * 10 + [1.0]
    assert (found[10].usual, found[10].before) == (9.0, 10)
    assert worst(scored([9.0, 5.0, 80.0])) is None


def test_spike_of_falling_loss_is_the_jump_not_the_highest_value():
    values = [10.0 - 0.2 * place for place in range(40)]  # 10, 9.8 ... 2.2
    values[30] = 8.0  # where 4 was due
    # The median of the 30 before it, 10 to 4.2, is 7.1.
    found = worst(scored(values))
    assert (found.update, found.value, found.before) == (31, 8.0, 30)
    assert found.usual == pytest.approx(7.1)
    assert found.times == pytest.approx(8 / 7.1)


def test_median_covers_previous_hundred_updates():
    random_ = random.Random(0)
    values = [random_.random() + 0.5 for _ in range(300)]
    found = scored(values)
    for place in (10, 57, 99, 100, 101, 299):
        window = values[max(0, place - 100) : place]
        assert found[place].usual == statistics.median(window)
        assert found[place].before == len(window)


def test_non_finite_value_is_worst_spike_and_not_in_median():
    for bad in (math.nan, math.inf):
        values = [1.0] * 12 + [bad] + [1.0] * 12 + [50.0]
        found = scored(values)
        assert worst(found).update == 13
        assert found[-1].times == 50
    assert worst(scored([math.nan])).update == 1, "even at the very start"


def test_noise_near_zero_is_no_spike():
    values = [1.0] * 60 + [0.00001] * 200 + [0.001] + [2.0]
    values[120] = 0.00001
    found = worst(scored([1.0] * 300 + [0.00001] * 150 + [0.001, 2.0]))
    assert found.update == 452
    assert found.times == pytest.approx(2.0 / 0.01), "a hundredth of the training's median"
    assert worst(scored(values)).update == len(values)


def test_first_of_equal_spikes_is_worst_and_flat_zero_has_no_spike():
    assert worst(scored([1.0] * 10 + [3.0, 1.0, 3.0])).update == 11
    assert worst(scored([0.0] * 20)).times == 1.0
