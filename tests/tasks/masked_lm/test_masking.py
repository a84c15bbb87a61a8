"""Masking: how many, which, and what stands there instead."""

import numpy as np

from models.chance import generator_of
from tasks.masked_lm.masking import mask_rows, mask_tokens

MASK, FIRST, VOCABULARY = 4, 5, 1000


def mask(input_ids, maskable, seed=0):
    return mask_tokens(input_ids, maskable, generator_of(seed), mask_id=MASK, vocab_size=VOCABULARY, first_id=FIRST)


def everywhere(ids):
    return np.ones(ids.shape, bool)


def draw_ids():
    return np.random.default_rng(0).integers(FIRST, VOCABULARY, (8, 40))


def test_mask_shares_match_bert():
    ids = np.full((200, 500), 500)
    masked = mask(ids, everywhere(ids))
    assert len(masked.positions) == 15_000
    new = masked.input_ids.flatten()[masked.positions]
    assert abs((new == MASK).mean() - 0.8) < 0.01
    assert abs((new == 500).mean() - 0.1) < 0.01
    strange = new[(new != MASK) & (new != 500)]
    assert FIRST <= strange.min() < strange.max() < VOCABULARY


def test_labels_are_original_tokens_and_other_tokens_stay():
    ids = draw_ids()
    before = ids.copy()
    masked = mask(ids, everywhere(ids))
    np.testing.assert_array_equal(ids, before, "the batch itself is left as it was")
    np.testing.assert_array_equal(masked.labels, ids.flatten()[masked.positions])
    assert len(set(masked.positions.tolist())) == len(masked.positions)
    changed = np.flatnonzero(masked.input_ids != ids)
    assert set(changed.tolist()) <= set(masked.positions.tolist())
    assert (masked.input_ids.dtype, masked.positions.dtype, masked.labels.dtype) == (np.int64,) * 3


def test_only_maskable_tokens_are_masked():
    ids = draw_ids()
    maskable = np.zeros(ids.shape, bool)
    maskable[3, 10:30] = True
    assert set(mask(ids, maskable).positions.tolist()) <= set(range(3 * 40 + 10, 3 * 40 + 30))


def test_short_text_gets_one_mask_and_unmaskable_text_gets_zero():
    ids = np.array([[2, 9, 3]])
    assert mask(ids, np.array([[False, True, False]])).positions.tolist() == [1]
    assert len(mask(ids, np.zeros((1, 3), bool)).positions) == 0


def test_dynamic_masks_are_reproducible_from_generator():
    ids = draw_ids()
    first, again, other = (mask(ids, everywhere(ids), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.input_ids, again.input_ids)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert not np.array_equal(first.positions, other.positions)


def test_every_position_is_masked_equally_often():
    ids, counts = np.full((1, 40), 9), np.zeros(40)
    for seed in range(2000):
        counts[mask(ids, everywhere(ids), seed).positions] += 1
    assert abs(counts / 2000 - 0.15).max() < 0.04  # five standard deviations are 0.04


def test_static_masks_depend_only_on_row():
    ids = np.random.default_rng(0).integers(5, 40, (6, 30))
    lengths = np.array([30, 20, 12, 8, 5, 1])
    able = np.arange(30) < lengths[:, None]
    rules = {"mask_id": 4, "vocab_size": 40, "first_id": 5}
    whole = mask_rows(ids, able, **rules)
    for row, length in enumerate(lengths.tolist()):  # in another batch, of another width, at another time
        alone = mask_rows(ids[row : row + 1, :length], able[row : row + 1, :length], **rules)
        here = whole.positions[whole.positions // 30 == row] % 30
        np.testing.assert_array_equal(alone.positions, here)
        np.testing.assert_array_equal(alone.input_ids[0], whole.input_ids[row, :length])
        assert len(here) == max(1, round(0.15 * length))
    np.testing.assert_array_equal(whole.labels, ids.flatten()[whole.positions])
