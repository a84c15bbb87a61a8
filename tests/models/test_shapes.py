"""A question in one of few shapes: the same answers at other places, and padding that counts for nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.question import Question, ask_each_row, ask_places, text_inputs
from models.shapes import fit, merge, round_count, round_up, widen


def question(lengths=(7, 3), target_lengths=(), **more):
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    ids = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    if target_lengths:
        target_mask = np.arange(max(target_lengths)) < np.array(target_lengths)[:, None]
        target = np.where(target_mask, 90, 0)
        return ask_places(text_inputs(ids, mask, target_ids=target, target_mask=target_mask), target_mask, target)
    return ask_places(text_inputs(ids, mask, **more), mask, ids)


@given(st.integers(1, 10_000))
def test_counts_are_rounded_up_by_less_than_half(count):
    rounded = round_count(count)
    assert count <= rounded < 1.5 * count
    assert round_count(rounded) == rounded


def test_counts_and_lengths_are_few():
    assert sorted({round_count(count) for count in range(1, 100)}) == [
        1,
        2,
        3,
        4,
        6,
        8,
        12,
        16,
        24,
        32,
        48,
        64,
        96,
        128,
    ]
    assert {round_up(length) for length in range(1, 129)} == {32, 64, 96, 128}
    assert round_up(33, longest=50) == 50
    assert round_up(60, longest=50) == 60


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_fitted_question_asks_for_the_same_tokens(lengths):
    asked = question(lengths)
    fitted = fit(asked)
    real = fitted.weights == 1
    assert real.sum() == fitted.answers == len(asked.places)
    np.testing.assert_array_equal(fitted.inputs["input_ids"].reshape(-1)[fitted.places[real]], asked.labels)
    np.testing.assert_array_equal(fitted.labels[real], asked.labels)
    np.testing.assert_array_equal(fitted.rows[real], asked.rows)
    mask = fitted.inputs["attention_mask"]
    assert mask[: len(lengths)].sum(1).tolist() == lengths
    assert mask.any(1).all()
    assert fitted.more["row_weights"].sum() == fitted.batch_size == len(lengths)


def test_inputs_of_every_kind_have_one_length():
    types, documents = np.ones((2, 7), int), np.array([[1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 0, 0, 0, 0]])
    fitted = fit(question(token_types=types, causal=np.array([True, False])))
    assert {name: value.shape for name, value in fitted.inputs.items()} == {
        "input_ids": (2, 32), "attention_mask": (2, 32), "token_types": (2, 32), "causal": (2,),
    }  # fmt: skip
    packed = fit(question((7, 7, 7), documents=np.concatenate([documents, documents[:1]])), longest=20)
    assert packed.inputs["documents"].shape == (3, 20)
    assert "attention_mask" not in packed.inputs
    both = fit(question((7, 3, 3, 3, 3), (40, 2, 2, 2, 2)))
    assert both.inputs["target_mask"].shape == (6, 64)
    assert both.inputs["target_ids"].reshape(-1)[both.places[both.weights == 1]].tolist() == [90] * 48
    assert both.inputs["target_mask"][5].tolist() == [True] + [False] * 63


def test_images_have_more_rows_and_no_mask():
    fitted = fit(ask_each_row({"pixels": np.ones((5, 1, 4, 4), np.float32)}))
    assert fitted.inputs["pixels"].shape == (6, 1, 4, 4)
    assert fitted.inputs["pixels"][5].sum() == 0
    assert fitted.inputs.keys() == {"pixels"}
    assert fitted.places.tolist() == [0, 1, 2, 3, 4, 0]
    assert fitted.labels.tolist() == [0] * 6


def test_question_itself_stays_as_it_was():
    asked = question()
    before = asked.inputs["input_ids"].copy()
    fit(asked).inputs["input_ids"][:] = 9
    np.testing.assert_array_equal(asked.inputs["input_ids"], before)


def test_merged_questions_keep_their_rows_in_order():
    def pairs(lengths, first):
        asked = question(lengths, tuple(2 for _ in lengths))
        rows = np.arange(len(lengths))
        return Question(asked.inputs, rows, rows, rows, {"kinds": np.full((len(lengths), 2), first)})

    one, other = pairs((7, 3), 1), pairs((9,), 2)
    merged = merge([one, other])
    assert merged.inputs["input_ids"].shape == (3, 9)
    assert merged.inputs["attention_mask"].sum(1).tolist() == [7, 3, 9]
    assert merged.rows.tolist() == merged.places.tolist() == [0, 1, 2]
    assert merged.more["kinds"].tolist() == [[1, 1], [1, 1], [2, 2]]


@pytest.mark.parametrize("lengths", [(5, 5), (5, 2)])
def test_widened_question_has_a_mask(lengths):
    wide = widen(question(lengths), {"input_ids": 8})
    assert wide.inputs["attention_mask"].sum(1).tolist() == list(lengths)
    np.testing.assert_array_equal(wide.inputs["input_ids"].reshape(-1)[wide.places], wide.labels)
