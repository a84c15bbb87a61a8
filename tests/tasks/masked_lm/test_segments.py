"""Pairs for next sentence prediction: halves of a row, or of two rows from two texts."""

import numpy as np

from models.chance import generator_of
from tasks.masked_lm.segments import NO_LABEL, pair_up

CLS, SEP, PAD = 2, 3, 0
ROWS = [[CLS, 10, 11, 12, 13, SEP], [CLS, 20, 21, 22, SEP, PAD], [CLS, 30, 31, SEP, PAD, PAD]]
IDS = np.array(ROWS)
MASK = IDS != PAD
FIRST = {10: [10, 11], 20: [20], 30: [30]}
SECOND = {10: [12, 13], 20: [21, 22], 30: [31]}


def pairs_of(seed, texts=("a", "b", "c"), labels=None):
    asked = np.full_like(IDS, NO_LABEL) if labels is None else labels
    return pair_up(IDS, MASK, asked, texts, generator_of(seed), sep_id=SEP, pad_id=PAD)


def test_pair_has_own_or_foreign_second_half():
    for seed in range(20):
        pairs = pairs_of(seed)
        for row, (first, follows) in enumerate(zip((10, 20, 30), pairs.follows.tolist(), strict=True)):
            ids = pairs.input_ids[row][pairs.attention_mask[row]].tolist()
            second = [one for one, tail in SECOND.items() if ids == [CLS, *FIRST[first], SEP, *tail, SEP]]
            assert len(second) == 1
            assert (second[0] == first) == bool(follows)
            types = pairs.token_types[row][pairs.attention_mask[row]].tolist()
            assert types == [0] * (len(FIRST[first]) + 2) + [1] * (len(ids) - len(FIRST[first]) - 2)
            assert (pairs.input_ids[row][~pairs.attention_mask[row]] == PAD).all()
        assert pairs.input_ids.shape[1] <= IDS.shape[1] + 1
        assert {array.dtype for array in (pairs.input_ids, pairs.token_types, pairs.labels, pairs.follows)} == {
            np.dtype(np.int64)
        }


def test_half_of_pairs_follow_and_others_use_another_text():
    follows = np.concatenate([pairs_of(seed).follows for seed in range(400)])
    assert abs(follows.mean() - 0.5) < 0.05  # three standard deviations of 1,200 coins are 0.043
    for seed in range(30):
        pairs = pairs_of(seed, texts=("a", "a", "c"))
        assert not (pairs.input_ids[0] == 21).any(), "two parts of one text"
        assert not (pairs.input_ids[1] == 12).any()
    assert pairs_of(1, texts=("a", "a", "a")).follows.all(), "no other text: all follow"


def test_labels_move_with_their_tokens():
    labels = np.full_like(IDS, NO_LABEL)
    labels[[0, 0, 1], [2, 4, 2]] = [11, 13, 21]
    kept = set()
    for seed in range(10):
        pairs = pairs_of(seed, labels=labels)
        wanted = pairs.labels != NO_LABEL
        assert (pairs.labels[wanted] == pairs.input_ids[wanted]).all()
        assert (wanted == np.isin(pairs.input_ids, [11, 13, 21])).all()
        kept |= set(pairs.labels[wanted].tolist())
    assert kept == {11, 13, 21}


def test_pairs_are_reproducible_from_generator():
    np.testing.assert_array_equal(pairs_of(5).input_ids, pairs_of(5).input_ids)
    assert any(not np.array_equal(pairs_of(5).follows, pairs_of(seed).follows) for seed in range(6, 12))
