import json
import os

from steps import attempts


def checkpoint(work, update, when):
    file = work / f"update-{update:08d}" / "manifest.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")
    os.utime(file, (when, when))


def test_seconds_to_the_last_checkpoint_of_each_attempt_add_up(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(attempts.time, "time", lambda: now[0])
    assert attempts.begin(tmp_path) == 0.0
    checkpoint(tmp_path, 100, 1060)
    checkpoint(tmp_path, 200, 1120)
    now[0] = 5000.0
    assert attempts.begin(tmp_path) == 120.0
    now[0] = 6000.0
    assert attempts.begin(tmp_path) == 120.0, "killed before it saved anything"
    checkpoint(tmp_path, 300, 6030)
    now[0] = 7000.0
    assert attempts.begin(tmp_path) == 150.0


def test_attempt_without_checkpoint_adds_no_time(tmp_path):
    assert attempts.begin(tmp_path) == 0.0
    assert attempts.begin(tmp_path) == 0.0


def test_damaged_attempts_file_counts_as_zero(tmp_path):
    checkpoint(tmp_path, 100, 1060)
    for text in ("", "[]", '{"seconds": "x", "started_at": 1}', '{"seconds": 1}', json.dumps({"started_at": None})):
        (tmp_path / "attempts.json").write_text(text)
        assert attempts.begin(tmp_path) == 0.0
