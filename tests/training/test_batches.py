"""Batches hold every row once, in a fixed order, under the budget and with little padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.batches import Examples, epoch, in_order


def examples(lengths, labels=None):
    return Examples.of(([7] * length for length in lengths), [f"row{i}" for i in range(len(lengths))], 0, labels)


LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(64, 400), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_holds_every_row_once_under_the_budget(lengths, budget, seed, number):
    made = examples(lengths)
    batches = epoch(made, budget, seed, number)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(made.batch(rows).input_ids.size <= budget for rows in batches)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(64, 400))
def test_in_order_holds_every_row_once_shortest_first(lengths, budget):
    made = examples(lengths)
    rows = np.concatenate(in_order(made, budget))
    assert sorted(rows) == list(range(len(lengths)))
    assert list(made.lengths[rows]) == sorted(lengths)


def test_batch_order_depends_on_seed_and_epoch():
    made = examples(np.random.default_rng(0).integers(3, 60, 500))

    def order(seed, number):
        return [list(rows) for rows in epoch(made, 256, seed, number)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    lengths = [made.lengths[rows].max() for rows in epoch(made, 256, 1, 0)]
    assert lengths != sorted(lengths), "batches of different lengths come mixed"


def test_epoch_has_little_padding():
    made = examples(np.random.default_rng(0).integers(3, 128, 5000))
    batches = [made.batch(rows) for rows in epoch(made, 2048, 1, 0)]
    assert 1 - sum(b.tokens for b in batches) / sum(b.input_ids.size for b in batches) < 0.03


def test_batch_pads_rows_and_builds_mask():
    made = Examples.of([[2, 5, 3], [2, 6, 7, 8, 3], [2] * 20], ["a", "b", "c"], 0, [1, 0, 1])
    batch = made.batch(np.array([1, 0]))
    assert batch.input_ids.tolist() == [[2, 6, 7, 8, 3], [2, 5, 3, 0, 0]]
    assert batch.attention_mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert (batch.ids, batch.labels.tolist(), batch.tokens) == (["b", "a"], [0, 1], 8)


def test_spread_takes_rows_evenly_from_first_to_last():
    made = Examples.of([[i] * (i + 1) for i in range(10)], [f"row{i}" for i in range(10)], 0, list(range(10)))
    few = made.spread(4)
    assert (few.ids, few.labels.tolist(), few.lengths.tolist()) == (
        ["row0", "row3", "row6", "row9"],
        [0, 3, 6, 9],
        [1, 4, 7, 10],
    )
    assert few.batch(np.array([1])).input_ids[0, :4].tolist() == [3, 3, 3, 3]
    assert made.spread(10) is made
    assert len(made.spread(1000)) == 10


PAIRS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=120)


def pairs(lengths):
    """Rows whose every number says whose it is: inputs of row i are i + 1, targets 1000 + i, tags i."""
    return Examples.of(
        [[i + 1] * source for i, (source, _) in enumerate(lengths)],
        [f"row{i}" for i in range(len(lengths))],
        0,
        [i % 7 for i in range(len(lengths))],
        targets=[[1000 + i] * target for i, (_, target) in enumerate(lengths)],
        tags=[[i] * source for i, (source, _) in enumerate(lengths)],
    )


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.integers(20, 300), st.integers(0, 3), st.booleans())
def test_pairs_stay_together_and_both_sides_count_in_budget(lengths, budget, number, ordered):
    made = pairs(lengths)
    batches = in_order(made, budget) if ordered else epoch(made, budget, 0, number)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for rows in batches:
        batch = made.batch(rows)
        assert batch.size <= budget or len(rows) == 1, "a row that is too long by itself goes alone"
        assert batch.tokens == sum(sum(lengths[row]) for row in rows)
        for place, row in enumerate(rows):
            source, target = lengths[row]
            assert batch.input_ids[place].tolist() == [row + 1] * source + [0] * (batch.input_ids.shape[1] - source)
            assert batch.target_ids[place].tolist() == [1000 + row] * target + [0] * (
                batch.target_ids.shape[1] - target
            )
            assert batch.tags[place].tolist() == [row] * source + [-1] * (batch.tags.shape[1] - source)
            assert batch.attention_mask[place].sum() == source
            assert batch.target_mask[place].sum() == target
            assert (batch.ids[place], batch.labels[place]) == (f"row{row}", row % 7)


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.data())
def test_take_returns_the_given_rows(lengths, data):
    made = pairs(lengths)
    rows = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=20)))
    few = made.take(rows)
    expected, found = made.batch(rows), few.batch(np.arange(len(rows)))
    for name in ("input_ids", "attention_mask", "target_ids", "target_mask", "tags", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.ids == expected.ids


def test_parts_number_the_examples_of_a_row():
    made = Examples.of([[1], [2], [3], [4]], ["a", "b", "b", "b"], 0)
    assert made.parts.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("width", [1, 5])
def test_row_longer_than_budget_gets_own_batch(width):
    made = examples([50, width, 60])
    assert sorted(len(rows) for rows in epoch(made, 10, 0, 0)) == [1, 1, 1]
