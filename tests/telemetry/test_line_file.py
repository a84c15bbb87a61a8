"""Files of lines: none is merged with another, on a full disk, after a kill, and with several processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from telemetry import delivery_state
from telemetry.line_file import LineFile
from telemetry.log_lines import Lines
from telemetry.mlflow_metrics import Feed, _next_batch
from tests.pipeline_home import ROOT
from training.update_log import Entry, UpdateLog, Updates

WRITE = os.write


@pytest.fixture
def full(monkeypatch):
    """The disk takes so many bytes of a write, and then none; None: it takes all."""
    room = {"bytes": None}

    def write(file, data):
        if room["bytes"] is None or len(data) < 2:
            return WRITE(file, data)
        if not room["bytes"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = WRITE(file, data[: room["bytes"]])
        room["bytes"] = 0
        return taken

    monkeypatch.setattr(os, "write", write)
    return room


def test_line_cut_short_by_a_full_disk_is_removed(tmp_path, full):
    file = LineFile(tmp_path / "a" / "x.jsonl")
    file.add(b"one\n")
    for taken in (1, 3, 0):
        full["bytes"] = taken
        with pytest.raises(OSError, match="No space left"):
            file.add(b"broken off\n")
        assert (tmp_path / "a" / "x.jsonl").read_bytes() == b"one\n"
    full["bytes"] = None
    file.add(b"two\n")
    file.close()
    assert (tmp_path / "a" / "x.jsonl").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("torn", ["", "{", '{"a": 1', "x" * 200_000])
@pytest.mark.parametrize("before", ["", "one\n"])
def test_torn_line_of_a_killed_process_is_removed_by_the_next(tmp_path, before, torn):
    (tmp_path / "x").write_text(before + torn)
    file = LineFile(tmp_path / "x")
    file.add(b"two\n")
    file.close()
    assert (tmp_path / "x").read_text() == before + "two\n"


def test_torn_line_in_an_append_only_file_is_ended_with_a_newline(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("torn")
    monkeypatch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "append only")))
    file = LineFile(tmp_path / "x")
    file.add(b"two\n")
    file.close()
    assert (tmp_path / "x").read_text() == "torn\ntwo\n"


def test_unfinished_line_of_another_process_is_not_removed(tmp_path):
    (tmp_path / "x").write_text("half of a long li")
    with (tmp_path / "x").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        file = LineFile(tmp_path / "x")
        file.add(b"two\n")
        file.close()
    assert (tmp_path / "x").read_text() == "half of a long li\ntwo\n"


def test_concurrent_processes_write_whole_lines(tmp_path):
    code = (
        "import sys; from pathlib import Path; from telemetry.line_file import LineFile\n"
        "file = LineFile(Path(sys.argv[1]))\n"
        "for n in range(300): file.add(sys.argv[2].encode() * (n * 37 % 9000) + b'\\n')\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x"), name], cwd=ROOT) for name in "abc"]
    assert [process.wait(100) for process in started] == [0, 0, 0]
    lines = (tmp_path / "x").read_text().splitlines()
    assert len(lines) == 900
    assert all(len(set(line)) <= 1 for line in lines)


def test_log_file_has_only_whole_lines_after_a_full_disk(tmp_path, full, capsys):
    lines = Lines(tmp_path / "x.jsonl", {}, terminal=False)
    for number in range(6):
        full["bytes"] = 20 if number in (2, 3) else None
        lines.write("step.started", f"number {number}", "info", {}, {}, 0, shown=False)
    lines.close()
    read = [json.loads(line)["message"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert read == ["number 0", "number 1", "number 4", "number 5"]
    assert "No space left" in capsys.readouterr().err


def test_metric_feed_has_only_whole_readings_after_a_full_disk(tmp_path, full):
    feed = Feed(tmp_path / "x.metrics.jsonl")
    for number in range(5):
        full["bytes"] = 7 if number == 2 else None
        with pytest.raises(OSError, match="No space left") if number == 2 else contextlib.nullcontext():
            feed.add("loss", float(number), number)
    feed.close()
    batch = _next_batch(tmp_path / "x.metrics.jsonl")
    assert batch is not None
    assert [reading.update for reading in batch[0]] == [0, 1, 3, 4]


def test_update_log_keeps_every_update_after_a_failed_write(tmp_path, full):
    record = UpdateLog(tmp_path / "updates.jsonl")
    record.go_on_after(0)
    for update in (1, 2, 3):
        entry = Entry(update, 0.5, 1.0, 0.1, 0.0, "", "", ["a"], [0])
        full["bytes"] = 9 if update == 2 else None
        try:
            record.add(entry)
        except OSError:
            full["bytes"] = None
            record.add(entry)
    record.close()
    assert Updates(tmp_path / "updates.jsonl").curve("loss")[0] == [1, 2, 3]


def test_notes_of_dropped_records_are_whole_after_a_full_disk(tmp_path, full):
    delivery_state.note_dropped(tmp_path, 1, "full")
    full["bytes"] = 5
    with pytest.raises(OSError, match="No space left"):
        delivery_state.note_dropped(tmp_path, 2, "full")
    full["bytes"] = None
    delivery_state.note_dropped(tmp_path, 3, "full")
    assert [note["records"] for note in delivery_state.read_dropped(tmp_path)] == [1, 3]
