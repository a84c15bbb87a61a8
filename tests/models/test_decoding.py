"""Sequences that were made, as every framework tells them."""

import pytest

from models.decoding import Decoding, Hypothesis

END = 3


def test_hypothesis_excludes_end_token():
    ended, cut = Hypothesis.of([5, 6, END], -1.5, -1.0, END), Hypothesis.of([5, 6, 7], -1.5, -1.5, END)
    assert (ended.ids, ended.ended, ended.tokens) == ((5, 6), True, 3)
    assert (cut.ids, cut.ended, cut.tokens) == ((5, 6, 7), False, 3)
    assert (ended.log_probability, ended.score) == (-1.5, -1.0)
    assert Hypothesis.of([END], -0.1, -0.1, END).ids == ()


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, 1), ({"method": "beam", "beams": 3}, 3), ({"method": "sample"}, 1), ({"method": "sample", "n_best": 5}, 5)],
    ids=str,
)
def test_decoding_method_sets_rows_per_prompt(options, rows):
    assert Decoding(**options).rows == rows
