"""Shards: every row once, one order of sums, and the same bytes on any number of cores."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_training import digest, train
from training import shards
from training.shards import add_in_tree, cut, map_in_threads


@given(st.integers(1, 50), st.sampled_from([1, 2, 4, 8]))
def test_cut_gives_each_row_to_one_shard(rows, count):
    parts = cut(np.arange(rows), count)
    assert sorted(np.concatenate(parts)) == list(range(rows))
    assert len(parts) == min(rows, count)
    assert all(len(part) for part in parts)


def test_tree_adds_neighbours_first():
    assert add_in_tree(list("abcdefg"), lambda one, other: f"({one}{other})") == "(((ab)(cd))((ef)g))"
    assert add_in_tree(["a"], lambda one, other: one + other) == "a"


@given(st.integers(1, 16), st.sampled_from([1, 2, 4, 8, 16]))
def test_aligned_runs_are_nodes_of_the_tree(leaves, run):
    def add(one, other):
        return f"({one}{other})"

    letters = [chr(ord("a") + number) for number in range(leaves)]
    sums = [add_in_tree(letters[start : start + run], add) for start in range(0, leaves, run)]
    assert add_in_tree(sums, add) == add_in_tree(letters, add)


def test_map_in_threads_keeps_the_order(monkeypatch):
    monkeypatch.setattr(shards, "cores", lambda: 3)
    assert map_in_threads(lambda number: number * number, range(20)) == [number * number for number in range(20)]


def test_map_in_threads_raises_the_first_error(monkeypatch):
    monkeypatch.setattr(shards, "cores", lambda: 2)

    def fail(number):
        if number in (3, 5):
            raise ValueError(f"item {number}")
        return number

    with pytest.raises(ValueError, match="item 3"):
        map_in_threads(fail, range(8))


def test_cores_are_shared_between_ranks_of_a_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert shards.cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert shards.cores() == 1
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert shards.cores() == 8


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_has_the_same_bytes_on_any_number_of_cores(tmp_path, monkeypatch, optimizer):
    digests = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(shards, "cores", lambda cores=cores: cores)
        digests.append(digest(train(tmp_path / str(cores), max_updates=8, optimizer=optimizer)))
    assert len(set(digests)) == 1
