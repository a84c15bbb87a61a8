"""Ranks: the same bytes for any number of them, and after any of them was killed."""

import random

import pytest

from tests import small_training
from tests.rank_processes import Kill, train

UPDATES = 12  # with a checkpoint after each fourth


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The digest of the training in one process."""
    return small_training.digest(small_training.train(tmp_path_factory.mktemp("alone"), max_updates=UPDATES))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_ranks_gives_the_same_bytes(tmp_path, alone, count):
    assert train(tmp_path / "work", count, max_updates=UPDATES) == alone


def test_ranks_share_blocks_of_texts_with_the_same_bytes(tmp_path):
    packed = {"max_updates": 6, "packing": True}
    expected = small_training.digest(small_training.train(tmp_path / "alone", **packed))
    assert train(tmp_path / "work", 2, **packed) == expected


def test_lost_rank_ends_the_training_with_one_line(tmp_path, alone):
    lost = train(tmp_path / "work", 2, Kill(rank=1, update=5), max_updates=UPDATES)
    assert lost.startswith("lost: another rank of the training is gone")
    assert "\n" not in lost
    assert train(tmp_path / "work", 1, max_updates=UPDATES) == alone


def follow_schedule(work, seed):
    """Kill a random rank at a random update, with another number of ranks each time; then train to the end."""
    draw = random.Random(seed)
    for _ in range(draw.randint(1, 3)):
        count = draw.choice([1, 2, 4])
        train(work, count, Kill(draw.randrange(count), draw.randrange(UPDATES)), max_updates=UPDATES)
    return train(work, draw.choice([1, 2, 4]), max_updates=UPDATES)


@pytest.mark.parametrize("seed", range(5))
def test_any_schedule_of_kills_and_ranks_gives_the_same_bytes(tmp_path, alone, seed):
    assert follow_schedule(tmp_path / "work", seed) == alone


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 25))
def test_twenty_more_schedules_give_the_same_bytes(tmp_path, alone, seed):
    assert follow_schedule(tmp_path / "work", seed) == alone
