"""Rows that are decoded together, and how many of them are reported as answered."""

from models.decoding import Decoding
from tasks.generation import groups, pad_texts
from tasks.model import count_rows, watch_rows


def test_groups_hold_similar_lengths_within_cache_positions():
    lengths = [5, 1, 30, 6, 2]
    assert list(groups(lengths, Decoding(max_new_tokens=4), positions=20)) == [[1, 4], [0, 3], [2]]
    assert list(groups(lengths, Decoding(max_new_tokens=4))) == [[1, 4, 0, 3, 2]]
    beam = Decoding(method="beam", beams=2, max_new_tokens=4)
    assert list(groups(lengths, beam, positions=25)) == [[1, 4], [0], [3], [2]]
    assert list(groups([], Decoding())) == []


def test_texts_are_padded_at_end_and_masked_only_if_needed():
    inputs = pad_texts([[2, 7, 3], [2, 3]], pad_id=9)
    assert inputs["input_ids"].tolist() == [[2, 7, 3], [2, 3, 9]]
    assert inputs["attention_mask"].tolist() == [[True, True, True], [True, True, False]]
    assert pad_texts([[2, 7], [2, 3]], pad_id=9).keys() == {"input_ids"}


def test_counted_rows_reach_only_innermost_watcher():
    outer, inner = list[int](), list[int]()
    count_rows(1)
    with watch_rows(outer.append):
        count_rows(2)
        with watch_rows(inner.append):
            count_rows(3)
        count_rows(4)
    count_rows(5)
    assert (outer, inner) == ([2, 4], [3])


def test_decoded_rows_are_counted_after_their_group_is_done():
    seen = list[int]()
    with watch_rows(seen.append):
        parts = groups([5, 9, 2, 40, 7, 3, 3], Decoding(max_new_tokens=10), positions=40)
        first = next(parts)
        assert seen == [], "not before it is done"
        rest = list(parts)
    assert seen == [len(group) for group in [first, *rest]]
    assert len(seen) > 1
    assert sum(seen) == 7
