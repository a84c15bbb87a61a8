"""The learning rate at points that can be worked out by hand."""

import pytest

from training.schedule import learning_rate


def test_warm_up_top_middle_and_end():
    at = {u: learning_rate(u, highest=1.0, updates=110, warmup=10 / 110) for u in range(110)}
    assert at[0] == pytest.approx(0.1)
    assert at[9] == pytest.approx(1.0)
    assert at[10] == pytest.approx(1.0)
    assert at[60] == pytest.approx(0.55)  # half of the cosine: between 1 and a tenth
    assert 0.1 <= at[109] < 0.101
    assert max(at.values()) <= 1.0


def test_it_rises_and_then_falls():
    rates = [learning_rate(u, highest=2e-3, updates=50, warmup=0.2) for u in range(50)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_one_update_trains_at_the_highest():
    assert learning_rate(0, highest=1.0, updates=1, warmup=0.1) == 1.0
