"""Examples in files are the same as in memory, and take no memory for each row."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.batches import epoch, in_order
from training.examples import Example, gather
from training.token_files import open_examples, write

COLUMNS = ("input_ids", "attention_mask", "target_ids", "target_mask", "tags", "labels")
ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "ß7", "texts/b.csv:3"]), st.integers(1, 30), st.integers(1, 9)),
    min_size=1,
    max_size=60,
)


def rows_of(lengths, *, whole=True):
    """Examples whose numbers differ; rows of one name stand together."""
    made = []
    for place, (name, length, target) in enumerate(sorted(lengths, key=lambda one: one[0])):
        numbers = [(7 * place + i) % 300 for i in range(length)]
        more = {"label": place % 5, "target": [place % 300] * target, "tags": [i % 3 - 1 for i in range(length)]}
        made.append(Example(name, numbers, cut=place % 3 == 0, **(more if whole else {})))
    return made


def assert_same(found, expected):
    assert len(found) == len(expected)
    assert list(found.ids) == list(expected.ids)
    assert found.parts.tolist() == expected.parts.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert (found.cut, found.pad_id) == (expected.cut, expected.pad_id)
    for batches in (epoch(expected, 64, 1, 0), in_order(expected, 64)):
        for rows in batches:
            one, other = found.batch(rows), expected.batch(rows)
            assert (one.ids, one.rows.tolist()) == (other.ids, other.rows.tolist())
            for name in COLUMNS:
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


@settings(max_examples=30)
@given(ROWS, st.sampled_from(["<u2", "<i4"]), st.booleans())
def test_stored_examples_equal_those_in_memory(tmp_path_factory, lengths, kind, whole):
    folder, made = tmp_path_factory.mktemp("tokens"), rows_of(lengths, whole=whole)
    described = write(made, folder, np.dtype(kind))
    found, expected = open_examples(folder, described, 9), gather(made, 9)
    assert_same(found, expected)
    assert_same(found, expected)  # again, once the pages were given back
    rows = np.arange(len(made))[::2]
    assert_same(found.take(rows), expected.take(rows))


def test_write_keeps_sequences_in_the_given_type(tmp_path):
    described = write(rows_of([("a", 4, 2), ("b", 3, 1)]), tmp_path, np.dtype("u2"))
    assert (tmp_path / "inputs").stat().st_size == 2 * 7
    assert (tmp_path / "targets").stat().st_size == 2 * 3
    assert (described["examples"], described["cut"], described["types"]["inputs"]) == (2, 1, "<u2")


def test_write_refuses_a_number_that_the_type_cannot_hold(tmp_path):
    with pytest.raises(OverflowError):
        write([Example("a", [70_000])], tmp_path, np.dtype("u2"))


def test_empty_split_opens_as_no_examples(tmp_path):
    assert len(open_examples(tmp_path, write([], tmp_path, np.dtype("u2")), 0)) == 0


def test_opened_examples_outlive_their_files(tmp_path):
    described = write(rows_of([("a", 4, 2), ("b", 3, 1)]), tmp_path, np.dtype("u2"))
    found = open_examples(tmp_path, described, 0)
    for file in tmp_path.iterdir():
        file.unlink()
    assert found.batch(np.array([0])).input_ids.tolist() == [[0, 1, 2, 3]]


def test_file_that_became_shorter_is_an_error(tmp_path):
    found = open_examples(tmp_path, write(rows_of([("a", 4, 2)]), tmp_path, np.dtype("u2")), 0)
    (tmp_path / "inputs").write_bytes(b"")
    with pytest.raises(OSError, match="inputs: shorter than when it was opened"):
        found.batch(np.array([0]))


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system gives no pages back")
def test_pages_are_given_back_after_each_batch(tmp_path):
    made = [Example(f"row{i}", [i % 200] * 500) for i in range(4000)]
    found = open_examples(tmp_path, write(made, tmp_path, np.dtype("u2")), 0)
    for rows in in_order(found, 50_000):
        found.batch(rows)
    file = tmp_path / "inputs.offsets"
    assert _mapped_kilobytes(file) == 0
    assert found.inputs.offsets[:2].tolist() == [0, 500]
    assert _mapped_kilobytes(file) > 0, "the reading itself is right"


def _mapped_kilobytes(file):
    """Resident kilobytes of a file in this process."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(place for place, line in enumerate(lines) if line.endswith(str(file)))
    return next(int(line.split()[1]) for line in lines[at:] if line.startswith("Rss:"))
