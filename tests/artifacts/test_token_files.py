"""Token files: whole or not there, checked when read, counted and removed by `python -m artifacts`."""

import os
import signal
import subprocess
import sys
import time

import pytest

from artifacts import Output, __main__, token_files
from artifacts.store import Store
from artifacts.token_files import DamagedTokensError

KEY = "a" * 64
DAY = 24 * 3600.0


def make(root, key=KEY, corpus="c" * 64, numbers=b"\1\2\3\4"):
    folder = token_files.folder_of(root, key)
    with token_files.replacement(folder, {"corpus": corpus, "task": "masked_lm", "split": "train"}) as (place, arrays):
        (place / "inputs").write_bytes(numbers)
        arrays["examples"] = 2
    return folder


def make_corpus(root):
    """An artifact that a record needs."""
    output = Output("corpus", root / "work" / "a", step="prepare_data", root=root)
    output.file("rows").write_text("rows")
    made, store = output.commit(), Store(root)
    about = {"path": store.path_of(made), "digest": made.digest, "kind": "corpus"}
    store.keep({"step": "prepare_data", "fingerprint": "f" * 64, "finished_at": "2026", "artifact": about})
    return made


def call(monkeypatch, root, *arguments):
    monkeypatch.setenv("GLASSFORMER_HOME", str(root))
    monkeypatch.setattr(sys, "argv", ["artifacts", *arguments])
    return __main__.main()


def test_read_returns_the_description_that_was_written(tmp_path):
    folder = make(tmp_path)
    info = token_files.read(folder)
    assert (info["arrays"], info["about"]["split"], info["files"]["inputs"]["bytes"]) == ({"examples": 2}, "train", 4)
    assert (folder / "inputs").read_bytes() == b"\1\2\3\4"
    assert token_files.folders(tmp_path) == [folder]
    assert token_files.leftovers(tmp_path) == []


def test_read_of_missing_files_raises_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        token_files.read(token_files.folder_of(tmp_path, KEY))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("inputs", b"\1\2\3\5"),
        ("inputs", b"\1\2"),
        ("inputs", None),
        ("tokens.json", b"{"),
        ("tokens.json", None),
        ("tokens.json", b'{"about": {}, "arrays": {}, "files": {}, "digest": "0"}'),
    ],
)
def test_read_names_the_damaged_file(tmp_path, file, content):
    folder = make(tmp_path)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(DamagedTokensError, match=file):
        token_files.read(folder)


def test_read_notices_a_changed_description(tmp_path):
    folder = make(tmp_path)
    info = (folder / "tokens.json").read_text()
    (folder / "tokens.json").write_text(info.replace('"examples": 2', '"examples": 3'))
    with pytest.raises(DamagedTokensError, match="changed since it was made"):
        token_files.read(folder)


def test_replacement_takes_the_place_of_damaged_files(tmp_path):
    folder = make(tmp_path)
    (folder / "inputs").write_bytes(b"")
    make(tmp_path, numbers=b"\7")
    assert token_files.read(folder)["files"]["inputs"]["bytes"] == 1
    assert token_files.leftovers(tmp_path) == []


def test_failed_replacement_leaves_the_earlier_files(tmp_path):
    folder = make(tmp_path)
    with pytest.raises(TypeError):
        make(tmp_path, numbers="no bytes")
    assert token_files.read(folder)["files"]["inputs"]["bytes"] == 4
    assert token_files.leftovers(tmp_path) == []


def test_leftovers_of_a_killed_process_are_removed_by_the_next(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from artifacts import token_files\n"
        "with token_files.replacement(Path(sys.argv[1]), {}) as (place, _):\n"
        "    (place / 'inputs').write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = token_files.folder_of(tmp_path, KEY)
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == -signal.SIGKILL
    assert len(token_files.leftovers(tmp_path)) == 1
    assert not folder.exists()
    make(tmp_path)
    assert token_files.leftovers(tmp_path) == []
    assert token_files.read(folder)["files"]["inputs"]["bytes"] == 4


def test_list_shows_token_files_with_task_and_split(tmp_path, monkeypatch, capsys):
    damaged = make(tmp_path, "b" * 64)
    (damaged / "tokens.json").write_text("{")
    folder = make(tmp_path)
    assert call(monkeypatch, tmp_path, "list") == 0
    shown = capsys.readouterr()
    assert shown.out.split()[:2] == ["(tokens)", KEY[:12]]
    assert "masked_lm train" in shown.out
    assert str(folder) in shown.out
    assert f"damaged: {damaged / 'tokens.json'}" in shown.err


def test_check_counts_damaged_token_files(tmp_path, monkeypatch, capsys):
    folder = make(tmp_path)
    assert call(monkeypatch, tmp_path, "check") == 0
    (folder / "inputs").write_bytes(b"\1\2\3\5")
    assert call(monkeypatch, tmp_path, "check") == 1
    assert f"{folder / 'inputs'}: changed since it was made" in capsys.readouterr().err


def test_gc_keeps_token_files_of_a_needed_corpus_for_a_week(tmp_path, monkeypatch, capsys):
    corpus = make_corpus(tmp_path)
    fresh, old, foreign = (make(tmp_path, name * 64, corpus.digest) for name in "123")
    make(tmp_path, "3" * 64, "0" * 64)
    unfinished = tmp_path / "tokens" / f".{KEY}.1.tmp"
    unfinished.mkdir()
    now = time.time()
    os.utime(fresh, (now - 6 * DAY, now - 6 * DAY))
    os.utime(old, (now - 8 * DAY, now - 8 * DAY))
    assert call(monkeypatch, tmp_path, "gc", "--yes") == 0
    assert "2 folders" in capsys.readouterr().out
    assert [fresh.exists(), old.exists(), foreign.exists(), unfinished.exists()] == [True, False, False, True]
    os.utime(unfinished, (now - DAY, now - DAY))
    assert call(monkeypatch, tmp_path, "gc", "--yes") == 0
    assert token_files.leftovers(tmp_path) == []
    assert corpus.path.exists()


def test_gc_tokens_removes_all_token_files_and_nothing_else(tmp_path, monkeypatch, capsys):
    corpus = make_corpus(tmp_path)
    folder, unneeded = make(tmp_path, corpus=corpus.digest), tmp_path / "artifacts" / "report" / "0"
    unneeded.mkdir(parents=True)
    assert call(monkeypatch, tmp_path, "gc", "--tokens") == 0
    assert folder.exists()
    assert call(monkeypatch, tmp_path, "gc", "--tokens", "--yes") == 0
    assert "1 folders" in capsys.readouterr().out
    assert not folder.exists()
    assert corpus.path.exists()
    assert unneeded.exists()
