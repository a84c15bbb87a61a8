"""Pairs for next sentence prediction: halves of a row, or of two rows from two texts."""

import torch

from tasks.masked_lm.segments import label_places, labels_of, pair_up

CLS, SEP, PAD = 2, 3, 0
ROWS = [[CLS, 10, 11, 12, 13, SEP], [CLS, 20, 21, 22, SEP, PAD], [CLS, 30, 31, SEP, PAD, PAD]]
IDS = torch.tensor(ROWS)
MASK = IDS != PAD
FIRST = {10: [10, 11], 20: [20], 30: [30]}
SECOND = {10: [12, 13], 20: [21, 22], 30: [31]}


def pairs_of(seed, texts=("a", "b", "c"), labels=None):
    generator = torch.Generator().manual_seed(seed)
    asked = torch.full_like(IDS, -100) if labels is None else labels
    return pair_up(IDS, MASK, asked, texts, generator, sep_id=SEP, pad_id=PAD)


def test_a_pair_is_a_row_of_its_own_halves_or_has_another_texts_second():
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


def test_about_half_follow_and_what_does_not_is_from_another_text():
    follows = torch.cat([pairs_of(seed).follows for seed in range(400)]).float()
    assert abs(follows.mean() - 0.5) < 0.05  # three standard deviations of 1,200 coins are 0.043
    for seed in range(30):
        pairs = pairs_of(seed, texts=("a", "a", "c"))
        assert not (pairs.input_ids[0] == 21).any(), "two parts of one text"
        assert not (pairs.input_ids[1] == 12).any()
    assert pairs_of(1, texts=("a", "a", "a")).follows.all(), "no other text: all follow"


def test_what_is_asked_for_goes_where_its_token_goes():
    positions = torch.tensor([2, 4, 8])  # the tokens 11 and 13 of row 0, and 21 of row 1
    labels = labels_of(positions, torch.tensor([11, 13, 21]), IDS.shape)
    assert label_places(labels).tolist() == positions.tolist()
    for seed in range(10):
        pairs = pairs_of(seed, labels=labels)
        places = label_places(pairs.labels)
        assert (pairs.labels.flatten()[places] == pairs.input_ids.flatten()[places]).all()


def test_the_pairs_are_a_function_of_the_generator():
    assert torch.equal(pairs_of(5).input_ids, pairs_of(5).input_ids)
    assert any(not torch.equal(pairs_of(5).follows, pairs_of(seed).follows) for seed in range(6, 12))
