"""Span corruption: what was taken out is what is to be written, and nothing else."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chance import generator_of
from tasks.span_corruption.corruption import corrupt, restore

MASK = 4
TOKENS = st.lists(st.integers(5, 60), max_size=200)


@given(TOKENS, st.integers(0, 2**32), st.floats(0.05, 0.9), st.floats(1, 6))
def test_source_and_target_restore_the_text(ids, seed, share, mean_span):
    source, target = corrupt(ids, generator_of(seed), MASK, share=share, mean_span=mean_span)
    assert restore(source, target, MASK) == ids


@given(st.lists(st.integers(5, 60), min_size=2, max_size=200), st.integers(0, 2**32))
def test_default_corruption_takes_15_percent_in_spans_of_3(ids, seed):
    source, target = corrupt(ids, generator_of(seed), MASK)
    spans, taken = source.count(MASK), len(target) - target.count(MASK)
    assert spans == target.count(MASK)
    assert taken == max(1, round(0.15 * len(ids)))
    assert spans == max(1, round(taken / 3))
    assert len(source) == len(ids) - taken + spans
    assert target[0] == MASK
    assert not any(left == right == MASK for left, right in pairwise(source)), "spans never touch"
    assert not any(left == right == MASK for left, right in pairwise(target)), "nor are they empty"


@given(TOKENS, st.integers(0, 2**32))
def test_corruption_depends_only_on_generator(ids, seed):
    assert corrupt(ids, generator_of(seed), MASK) == corrupt(ids, generator_of(seed), MASK)


def test_positions_are_taken_equally_often_except_near_ends():
    taken, generator = np.zeros(40), generator_of(1)
    for _ in range(1500):
        source, _ = corrupt(list(range(10, 50)), generator, MASK)
        taken[[i for i in range(40) if i + 10 not in source]] += 1
    share = taken / 1500
    assert share.mean() == pytest.approx(0.15)
    assert share[4:36].std() < 0.03
    assert 0.05 < share[0] < 0.15, "less at the ends, where no span can begin before or end after"
    assert share[-1] == pytest.approx(share[0], abs=0.03)


@pytest.mark.parametrize("ids", [[], [7]])
def test_too_short_text_is_not_corrupted(ids):
    assert corrupt(ids, generator_of(0), MASK) == (ids, [])
