"""Visibility of each pair of tokens, against the sentence that says it."""

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.torch.embedding import places
from models.torch.masks import add_bias, build_mask, document_positions, same_document


def may_look(query, key, *, causal, window):
    if causal:
        return query - key >= 0 and (not window or query - key < window)
    return not window or abs(query - key) <= window // 2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10), st.booleans(), st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_mask_combines_order_window_and_padding(length, window, causal, row_lengths):
    mask = places(length) < torch.tensor(row_lengths)[:, None]
    seen = build_mask(places(length), places(length), mask, causal=causal, window=window)
    found = torch.ones(1, 1, 1, 1, dtype=torch.bool) if seen is None else seen
    found = found.expand(len(row_lengths), 1, length, length)
    for row, query, key in itertools.product(range(len(row_lengths)), range(length), range(length)):
        expected = may_look(query, key, causal=causal, window=window) and key < row_lengths[row]
        assert found[row, 0, query, key].item() == expected


def test_mask_uses_positions_of_cached_queries():
    queries = torch.tensor([[2], [4]])  # one new token of each of two rows
    seen = build_mask(queries, places(6), None, causal=True, window=3)
    assert seen[:, 0, 0].int().tolist() == [[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0]]


def test_positions_begin_again_at_each_text_of_a_row():
    documents = torch.tensor([[1, 1, 1, 2, 3, 3, 0, 0], [1, 2, 2, 2, 2, 2, 2, 2]])
    expected = [[0, 1, 2, 0, 0, 1, 0, 1], [0, 0, 1, 2, 3, 4, 5, 6]]
    assert document_positions(documents).tolist() == expected


def test_mask_of_texts_combines_with_order_and_window():
    documents = torch.tensor([[1, 1, 1, 2, 2, 0]])
    positions, texts = document_positions(documents), same_document(documents)
    blocks = [[1, 1, 1, 0, 0, 0]] * 3 + [[0, 0, 0, 1, 1, 0]] * 2 + [[0, 0, 0, 0, 0, 1]]
    assert build_mask(positions, positions, texts, causal=False)[0, 0].int().tolist() == blocks
    seen = build_mask(positions, positions, texts, causal=True, window=2)[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_unrestricted_attention_needs_no_mask():
    assert build_mask(places(4), places(4), None, causal=False) is None


def test_add_bias_merges_mask_and_bias():
    mask, bias = torch.tensor([[[[True, False]]]]), torch.tensor([[[[0.5, 0.25]]]])
    assert add_bias(mask, bias).tolist() == [[[[0.5, -torch.inf]]]]
    assert add_bias(None, bias) is bias
    assert add_bias(mask, None) is mask
