"""Blocks hold every text once and whole, as full as best-fit decreasing makes them, and batches of them keep the texts apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.batches import Examples, epoch
from training.examples import Example
from training.packing import Blocks, best_fit, padding_share
from training.token_files import open_examples, write

LENGTHS = st.lists(st.integers(1, 24), min_size=1, max_size=120)


def examples(lengths):
    """Texts whose every token says whose it is."""
    ids = [f"row{i // 2}" for i in range(len(lengths))]
    return Examples.of([[i + 1] * length for i, length in enumerate(lengths)], ids, 0)


def slow_best_fit(lengths, width):
    """The fill of each block, one text at a time."""
    fills = []
    for length in sorted(lengths, reverse=True):
        fitting = [place for place, fill in enumerate(fills) if fill + length <= width]
        if fitting:
            fills[max(fitting, key=fills.__getitem__)] += length
        else:
            fills.append(length)
    return sorted(fills)


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(24, 60), st.integers(0, 3))
def test_best_fit_fills_blocks_as_one_text_at_a_time_would(lengths, width, seed):
    block_of = best_fit(np.array(lengths), width, np.random.default_rng(seed))
    fills = np.bincount(block_of, lengths)
    assert sorted(fills) == slow_best_fit(lengths, width)
    assert fills.min() > 0


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(0, 3))
def test_batch_of_blocks_holds_its_texts_whole_and_numbered(lengths, seed):
    made = examples(lengths)
    blocks = Blocks.pack(made, 24, seed)
    rows = np.random.default_rng(seed).permutation(len(blocks))
    batch, members = blocks.batch(rows, 0.25), blocks.members(rows)
    assert sorted(np.concatenate(members)) == list(range(len(lengths)))
    assert batch.ids == [made.ids[text] for those in members for text in those]
    assert (batch.tokens, batch.size, batch.progress) == (blocks.tokens(rows), blocks.size(rows), 0.25)
    for place, those in enumerate(members):
        expected = [text + 1 for text in those for _ in range(lengths[text])]
        numbers = [number + 1 for number, text in enumerate(those) for _ in range(lengths[text])]
        empty = [0] * (batch.input_ids.shape[1] - len(expected))
        assert batch.input_ids[place].tolist() == expected + empty
        assert batch.attention_mask[place].tolist() == [True] * len(expected) + [False] * len(empty)
        if batch.documents is not None:
            assert batch.documents[place].tolist() == numbers + empty
    assert (batch.documents is None) == (len(blocks) == len(lengths)), "a row for each text is no block"


def test_an_epoch_of_blocks_is_nearly_full_and_another_order_of_the_same_blocks():
    made = examples(np.random.default_rng(0).integers(3, 64, 3000))
    blocks = Blocks.pack(made, 64, 1)
    batches = epoch(blocks, 512, 1, 0)
    assert sorted(np.concatenate(batches)) == list(range(len(blocks)))
    assert all(blocks.size(rows) <= 512 for rows in batches)
    assert padding_share(blocks, 512, 4, 1) < 0.005 < padding_share(made, 512, 4, 1)
    assert [list(rows) for rows in epoch(blocks, 512, 1, 1)] != [list(rows) for rows in batches]


def test_seed_chooses_which_texts_share_a_block():
    made = examples([10] * 40)
    first, again, other = (Blocks.pack(made, 24, seed).order.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_blocks_of_token_files_are_those_in_memory(tmp_path):
    lengths = np.random.default_rng(0).integers(2, 16, 50)
    rows = [Example(f"row{i}", [i + 1] * length) for i, length in enumerate(lengths)]
    stored = open_examples(tmp_path, write(rows, tmp_path, np.dtype("uint8")), 0)
    made, found = Blocks.pack(examples(lengths), 16, 3), Blocks.pack(stored, 16, 3)
    chosen = np.arange(len(made))
    for name in ("input_ids", "attention_mask", "documents"):
        np.testing.assert_array_equal(getattr(found.batch(chosen), name), getattr(made.batch(chosen), name))


def test_padding_share_is_worked_out_by_hand():
    made = examples([4, 2, 2, 2])  # one batch of 4 x 4; in two shards of [2, 2] and [2, 4]
    assert padding_share(made, 16, 1, 0) == pytest.approx(6 / 16)
    assert padding_share(made, 16, 2, 0) == pytest.approx(2 / 12)
    assert padding_share(Blocks.pack(made, 10, 0), 16, 1, 0) == 0
