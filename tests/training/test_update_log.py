"""The record of which rows each update saw: it comes back whole, is cut where a training resumes, and survives a torn line."""

import pyarrow.parquet as pq
import pytest

from tests.small_training import Hooked, Recording, backend, made_up, poison, raising_at, recorded, same, train
from training import update_log
from training.batches import Examples
from training.errors import TrainingError
from training.update_log import LINES, TABLE, Entry, UpdateLog, Updates, write_table


def entry(update, rows=("a", "b")):
    loss = update / 8  # exact in float32
    return Entry(
        update, loss, 2 * loss, 0.5, 1000.0 + update, "t" * 32, f"{update // 5:016x}", list(rows), [0] * len(rows)
    )


def written(folder, updates, after=0):
    made = UpdateLog(folder / LINES)
    missing = made.go_on_after(after)
    for update in updates:
        made.add(entry(update))
    made.sync()
    made.close()
    return missing


def updates_in(folder):
    return Updates.within(folder).curve("loss")[0]


@pytest.mark.parametrize("chunk", [3, 5000])
def test_log_lines_and_table_hold_same_updates(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(update_log, "_CHUNK", chunk)
    assert written(tmp_path, range(1, 11)) == 0
    write_table(tmp_path / LINES, tmp_path / TABLE)
    for path in (tmp_path / LINES, tmp_path / TABLE):
        read = Updates(path)
        assert read.curve("loss") == (list(range(1, 11)), [update / 8 for update in range(1, 11)])
        assert read.curve("gradient_norm")[1] == [update / 4 for update in range(1, 11)]
        assert read.between(4, 6) == [entry(update) for update in (4, 5, 6)]
        assert read.between(11, 20) == []


def test_table_is_preferred_over_lines_and_missing_log_is_none(tmp_path):
    assert Updates.within(tmp_path) is None
    written(tmp_path, [1])
    assert Updates.within(tmp_path).path.name == LINES
    write_table(tmp_path / LINES, tmp_path / TABLE)
    assert Updates.within(tmp_path).path.name == TABLE


def test_updates_after_checkpoint_are_dropped_on_resume(tmp_path):
    written(tmp_path, range(1, 11))
    assert written(tmp_path, [7, 8], after=6) == 0
    assert updates_in(tmp_path) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_torn_last_line_is_ignored_and_removed(tmp_path):
    written(tmp_path, [1, 2, 3])
    whole = (tmp_path / LINES).read_bytes()
    for length in range(1, len(whole)):
        (tmp_path / LINES).write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        assert updates_in(tmp_path) == list(range(1, lines + 1))
        assert written(tmp_path, [9], after=lines) == 0
        assert updates_in(tmp_path) == [*range(1, lines + 1), 9]


def test_updates_from_damaged_line_on_are_dropped_and_counted_missing(tmp_path):
    written(tmp_path, range(1, 7))
    lines = (tmp_path / LINES).read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * len(lines[2])
    (tmp_path / LINES).write_bytes(b"".join(lines))
    assert written(tmp_path, [7], after=6) == 4
    assert updates_in(tmp_path) == [1, 2, 7]


def test_non_finite_values_are_recorded_unchanged(tmp_path):
    made = UpdateLog(tmp_path / LINES)
    made.go_on_after(0)
    made.add(Entry(1, float("nan"), float("inf"), 0.1, 5.0, "", "", ["a\n\u2028b"], [3]))
    made.close()
    write_table(tmp_path / LINES, tmp_path / TABLE)
    for path in (tmp_path / LINES, tmp_path / TABLE):
        (read,) = Updates(path).between(1, 1)
        assert (str(read.loss), str(read.gradient_norm)) == ("nan", "inf")
        assert (read.rows, read.parts) == (["a\n\u2028b"], [3])


def test_table_of_an_earlier_version_has_no_blocks(tmp_path):
    written(tmp_path, [1, 2])
    write_table(tmp_path / LINES, tmp_path / TABLE)
    pq.write_table(pq.read_table(tmp_path / TABLE).drop_columns("blocks"), tmp_path / TABLE)
    assert Updates(tmp_path / TABLE).between(1, 2) == [entry(1), entry(2)]


def test_texts_of_each_block_are_recorded(tmp_path):
    train(tmp_path, packing=True)
    updates = Updates(tmp_path / LINES).between(1, 100)
    assert all(sum(one.blocks) == len(one.rows) == len(one.parts) for one in updates)
    assert max(max(one.blocks) for one in updates) > 1


def test_parts_count_the_examples_of_a_row():
    examples = Examples.of([[2, 7, 3]] * 6, ["a", "a", "a", "b", "b", "c"], 0)
    assert examples.parts.tolist() == [0, 1, 2, 0, 1, 0]
    assert not made_up(9, 0).parts.any()


def test_non_finite_update_is_recorded_with_its_rows(tmp_path):
    hooked, rows = poison(backend(), 9)
    with pytest.raises(TrainingError):
        train(tmp_path / "work", chosen=hooked)
    assert [each[0] for each in recorded(tmp_path / "work")] == list(range(1, 11))
    (update, loss, _, of_it, _) = recorded(tmp_path / "work")[-1]
    assert (update, str(loss), of_it) == (10, "nan", rows)
    train(tmp_path / "work")
    train(tmp_path / "whole")
    assert recorded(tmp_path / "work") == recorded(tmp_path / "whole")


def test_update_log_matches_trained_batches(tmp_path):
    seen = []
    train(tmp_path, chosen=Hooked(backend(), lambda number, rows: seen.append((number + 1, rows))))
    assert [(update, rows) for update, _, _, rows, _ in recorded(tmp_path)] == seen


def test_damaged_update_log_is_reported_and_training_continues(tmp_path):
    expected = train(tmp_path / "whole")
    with pytest.raises(RuntimeError):
        train(tmp_path / "work", chosen=Hooked(backend(), raising_at(13)))
    lines = (tmp_path / "work" / LINES).read_bytes().splitlines(keepends=True)
    (tmp_path / "work" / LINES).write_bytes(b"".join(lines[:5]) + b"damaged\n" + b"".join(lines[6:]))
    observe = Recording()
    assert same(train(tmp_path / "work", observe), expected)
    ((level, message),) = observe.of("record.damaged")
    assert level == "warning"
    assert "lacks 7 updates" in message
    assert [each[0] for each in recorded(tmp_path / "work")] == [*range(1, 6), *range(13, 25)]
