"""Drift against a closed form."""

import math

import pytest

from deploy.serving.drift import FEWEST, WINDOW, Drift, stability
from tasks.self_check import LENGTHS, shares_of_lengths


def test_stability_index_is_the_symmetrised_kl_divergence():
    p, q = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) + sum(
        b * math.log(b / a) for a, b in zip(p, q, strict=True)
    )
    assert stability(p, q) == pytest.approx(expected)
    assert stability(p, p) == 0
    assert math.isfinite(stability([1.0, 0.0], [0.0, 1.0]))


def test_identical_questions_show_no_drift_and_different_ones_do():
    texts = ["x" * length for length in (10, 50, 100, 200, 300)] * 100
    answers = [{"prediction": "ab"[place % 2]} for place in range(500)]
    profile = {
        "edges": LENGTHS,
        "lengths": shares_of_lengths([len(text) for text in texts]),
        "classes": {"a": 0.5, "b": 0.5},
        "unknown_share": 0.01,
    }
    same, other = Drift(profile), Drift(profile)
    same.saw(texts, answers)
    same.add_counts(100, 0.01)
    same.add_counts(300, 0.03)
    assert same.indices() == {"length": pytest.approx(0), "class": pytest.approx(0)}
    assert same.unknown_shares() == {"expected": 0.01, "seen": pytest.approx(0.025)}
    other.saw(["x" * 5000] * FEWEST, [{"prediction": "a"}] * FEWEST)
    assert other.indices()["length"] > 0.25
    assert other.indices()["class"] > 0.25


def test_drift_needs_enough_questions_and_uses_only_the_newest():
    drift = Drift({"edges": LENGTHS, "lengths": shares_of_lengths([10])})
    drift.saw(["x" * 10] * (FEWEST - 1), [{}] * (FEWEST - 1))
    assert drift.indices() == {}
    drift.saw(["x" * 10], [{}])
    assert drift.indices() == {"length": 0.0}
    drift.saw(["x" * 9999] * WINDOW, [{}] * WINDOW)
    assert drift.rows == WINDOW
    assert drift.indices()["length"] > 1
    assert Drift({}).indices() == Drift({}).unknown_shares() == {}


def test_length_bins_match_the_recorded_profile():
    for place, length in enumerate([*LENGTHS, LENGTHS[-1] + 1]):
        shares = shares_of_lengths([length])
        assert shares[place] == 1.0
        drift = Drift({"edges": LENGTHS, "lengths": shares})
        drift.saw(["x" * length] * FEWEST, [{}] * FEWEST)
        assert drift.indices() == {"length": 0.0}
        if place < len(LENGTHS):
            drift.saw(["x" * (length + 1)] * FEWEST, [{}] * FEWEST)
            assert drift.indices()["length"] > 1, "one character more is another part"
