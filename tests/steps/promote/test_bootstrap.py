"""The statistics of the gate, against closed forms, a slow reference, and their own promise over many seeds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from steps.promote.bootstrap import Difference, difference, mcnemar, rows_needed
from tasks import load
from tasks.classification_scores import scores

TASK = load("classification")


def answers(random, rows, right, labels=4):
    """Statistics of a model that is right with this probability."""
    expected = random.integers(0, labels, rows)
    hit = random.random(rows) < right
    wrong = (expected + random.integers(1, labels, rows)) % labels
    return pd.DataFrame({"expected": expected.astype(str), "prediction": np.where(hit, expected, wrong).astype(str)})


def pair(seed, rows, mine, other):
    """Two models' answers to the same questions."""
    random = np.random.default_rng(seed)
    first = answers(random, rows, mine)
    hit = random.random(rows) < other
    wrong = (first["expected"].astype(int) + random.integers(1, 4, rows)) % 4
    second = first.assign(prediction=np.where(hit, first["expected"], wrong.astype(str)))
    return first, second


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=30, deadline=None)
def test_scores_of_sampled_rows_match_scikit_learn(seed, rows):
    random = np.random.default_rng(seed)
    statistics = answers(random, rows, 0.6)
    chosen = random.integers(0, rows, rows)
    part = statistics.iloc[chosen]
    found = TASK.measure(statistics)(chosen)
    assert found == scores(part)
    assert found["accuracy"] == pytest.approx(accuracy_score(part["expected"], part["prediction"]))
    assert found["macro_f1"] == pytest.approx(
        f1_score(part["expected"], part["prediction"], average="macro", zero_division=0)
    )


def test_accuracy_interval_matches_the_normal_interval():
    first, second = pair(0, 4000, 0.8, 0.7)
    found = difference(TASK, "accuracy", (first, second), 4000, 0.95, 2)
    each = (first["prediction"] == first["expected"]).astype(float) - (
        second["prediction"] == second["expected"]
    ).astype(float)
    error = each.std(ddof=0) / np.sqrt(len(each))
    assert found.value == pytest.approx(each.mean())
    assert found.deviation == pytest.approx(error, rel=0.05)
    assert (found.low, found.high) == pytest.approx((each.mean() - 1.96 * error, each.mean() + 1.96 * error), abs=2e-3)


def test_identical_models_have_zero_difference():
    first, _ = pair(0, 200, 0.8, 0.7)
    found = difference(TASK, "macro_f1", (first, first), 200, 0.95, 1)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_lower_value_is_ahead_for_lower_is_better_metrics():
    task = load("causal_lm")
    one, two = (pd.DataFrame({"nats": [value] * 5, "bytes": [10] * 5}) for value in (1.0, 2.0))
    assert difference(task, "bits_per_byte", (one, two), 100, 0.95, 1).low > 0


def test_equal_models_are_promoted_at_most_at_the_stated_rate():
    """Two hundred pairs of models that are equally good: the interval at 95 % is above 0 in at most 5 % of them."""
    promoted = sum(
        difference(TASK, "macro_f1", pair(seed, 300, 0.7, 0.7), 400, 0.95, seed).low > 0 for seed in range(200)
    )
    assert promoted <= 10


def test_a_real_gain_is_found():
    found = [difference(TASK, "macro_f1", pair(seed, 600, 0.8, 0.7), 400, 0.95, seed).low > 0 for seed in range(20)]
    assert sum(found) >= 17


def test_rows_needed_gives_about_eighty_percent_power():
    first, second = pair(2, 200, 0.75, 0.7)
    found = difference(TASK, "accuracy", (first, second), 500, 0.95, 1)
    assert found.value > 0
    needed = rows_needed(found, 0.0, 200, 0.95)
    assert needed is not None
    gain = found.value
    told = [
        difference(TASK, "accuracy", pair(seed, needed, 0.7 + gain, 0.7), 300, 0.95, seed).low > 0 for seed in range(50)
    ]
    assert 0.7 <= sum(told) / len(told) <= 0.92, "four in five"


def test_rows_needed_is_undefined_without_a_gain():
    assert rows_needed(Difference(-0.01, -0.05, 0.03, 0.02, np.zeros(1)), 0.0, 100, 0.95) is None
    assert rows_needed(Difference(-0.01, -0.05, 0.03, 0.02, np.zeros(1)), -0.02, 100, 0.95) > 100


def test_mcnemar_is_the_sign_test_of_differing_rows():
    mine, other = np.array([True] * 9 + [False] * 3), np.array([False] * 9 + [True] * 1 + [False] * 2)
    assert mcnemar(mine, other) == (9, 1, pytest.approx(2 * (1 + 10) / 2**10))
    assert mcnemar(mine, mine) == (0, 0, 1.0)
