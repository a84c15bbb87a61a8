"""Masking: how many, which, and what stands there instead."""

import torch

from tasks.masked_lm.masking import mask_rows, mask_tokens

MASK, FIRST, VOCABULARY = 4, 5, 1000


def masked(input_ids, maskable, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return mask_tokens(input_ids, maskable, generator, mask_id=MASK, vocab_size=VOCABULARY, first_id=FIRST)


def test_the_shares_are_those_of_bert():
    ids = torch.full((200, 500), 500)
    made = masked(ids, torch.ones_like(ids, dtype=torch.bool))
    assert len(made.positions) == 15_000
    new = made.input_ids.flatten()[made.positions]
    assert abs((new == MASK).float().mean() - 0.8) < 0.01
    assert abs((new == 500).float().mean() - 0.1) < 0.01
    assert new[new != MASK].min() >= FIRST


def test_labels_are_what_was_there_and_the_rest_is_untouched():
    ids = torch.randint(FIRST, VOCABULARY, (8, 40))
    made = masked(ids, torch.ones_like(ids, dtype=torch.bool))
    assert torch.equal(made.labels, ids.flatten()[made.positions])
    assert len(made.positions.unique()) == len(made.positions)
    changed = (made.input_ids != ids).flatten().nonzero().squeeze(1)
    assert set(changed.tolist()) <= set(made.positions.tolist())


def test_only_what_may_be_masked_is_masked():
    ids = torch.randint(FIRST, VOCABULARY, (8, 40))
    maskable = torch.zeros_like(ids, dtype=torch.bool)
    maskable[3, 10:30] = True
    assert set(masked(ids, maskable).positions.tolist()) <= set(range(3 * 40 + 10, 3 * 40 + 30))


def test_one_at_least_but_none_where_there_is_none():
    ids = torch.tensor([[2, 9, 3]])
    assert masked(ids, torch.tensor([[False, True, False]])).positions.tolist() == [1]
    assert len(masked(ids, torch.zeros(1, 3, dtype=torch.bool)).positions) == 0


def test_dynamic_and_yet_fixed_by_the_generator():
    ids = torch.randint(FIRST, VOCABULARY, (8, 40))
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    assert torch.equal(masked(ids, everywhere, 1).input_ids, masked(ids, everywhere, 1).input_ids)
    assert not torch.equal(masked(ids, everywhere, 1).positions, masked(ids, everywhere, 2).positions)


def test_static_masks_are_a_function_of_the_row_alone():
    ids = torch.randint(5, 40, (6, 30), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([30, 20, 12, 8, 5, 1])
    able = torch.arange(30) < lengths.unsqueeze(1)
    rules = {"mask_id": 4, "vocab_size": 40, "first_id": 5}
    whole = mask_rows(ids, able, **rules)
    torch.manual_seed(99)
    for row, length in enumerate(lengths.tolist()):  # in another batch, of another width, at another time
        alone = mask_rows(ids[row : row + 1, :length], able[row : row + 1, :length], **rules)
        here = whole.positions[whole.positions // 30 == row] % 30
        assert torch.equal(alone.positions, here)
        assert torch.equal(alone.input_ids[0], whole.input_ids[row, :length])
        assert len(here) == max(1, round(0.15 * length))
    assert torch.equal(whole.labels, ids.flatten()[whole.positions])
