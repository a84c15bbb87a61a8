"""A remembered hash is used only while the file is surely the same one, unchanged."""

import json
import os
import shutil
import time

import pytest

from artifacts import atomic, file_hashes
from artifacts.file_hashes import FileHashes


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n")
    os.utime(path, (315532800, 315532800))  # as archives with fixed times give
    return path


@pytest.fixture
def later(monkeypatch):
    """Files that were made now were made a while ago."""
    monkeypatch.setattr(file_hashes.time, "time", lambda: time.time_ns() / 1e9 + 10)


@pytest.fixture
def hashes(tmp_path, file, later):
    """A memory that holds the file, as a later process finds it."""
    first = FileHashes.of(tmp_path)
    first.sha256(file)
    first.keep()
    return FileHashes.of(tmp_path)


def counted(monkeypatch):
    asked = []
    real = atomic.sha256
    monkeypatch.setattr(file_hashes.atomic, "sha256", lambda path: asked.append(path) or real(path))
    return asked


def test_an_unchanged_file_is_not_read_again(hashes, file, monkeypatch):
    asked = counted(monkeypatch)
    assert hashes.sha256(file) == hashes.sha256(file)
    assert asked == []


def other(path):
    """A file of the same size and time, with other content."""
    made = path.with_name("other.csv")
    made.write_text("b,a\n")
    os.utime(made, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    return made


def linked(path):
    made = other(path)
    path.unlink()
    path.symlink_to(made)


def hard_linked(path):
    made = other(path)
    path.unlink()
    os.link(made, path)


def through_a_hard_link(path):
    second = path.with_name("second.csv")
    os.link(path, second)
    second.write_text("b,a\n")


def one_byte(path):
    with path.open("r+b") as opened:
        opened.write(b"x")


CHANGES = {
    "in place": lambda path: path.write_text("b,a\n"),
    "one byte": one_byte,
    "by another file": lambda path: other(path).replace(path),
    "by a copy that keeps times": lambda path: shutil.copy2(other(path), path),
    "by a link to another": linked,
    "by a hard link to another": hard_linked,
    "through a hard link": through_a_hard_link,
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_with_same_size_and_time_is_detected(hashes, file, change):
    before, known = file.stat(), hashes.sha256(file)
    CHANGES[change](file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert hashes.sha256(file) == atomic.sha256(file) != known


def test_recently_changed_file_is_hashed_again(tmp_path, file, monkeypatch):
    monkeypatch.setattr(file_hashes.time, "time", lambda: file.stat().st_ctime + 1)
    first = FileHashes.of(tmp_path)
    asked = counted(monkeypatch)
    assert first.sha256(file) == first.sha256(file)
    first.keep()
    assert not first.path.exists(), "within a tick of the clock it might change again without a trace"
    assert asked == [file, file]


def test_file_changed_while_hashing_is_not_cached(tmp_path, file, later, monkeypatch):
    real = atomic.sha256
    monkeypatch.setattr(file_hashes.atomic, "sha256", lambda path: (real(path), path.write_text("xx"))[0])
    first = FileHashes.of(tmp_path)
    first.sha256(file)
    first.keep()
    assert not first.path.exists()


@pytest.mark.parametrize(
    "written", ["{", "[]", '{"PATH": [4, 315532800000000000, "0000"]}', '{"PATH": 5}', '{"PATH": []}']
)
def test_damaged_or_outdated_cache_entries_are_ignored(tmp_path, file, later, written):
    hashes = FileHashes.of(tmp_path)
    atomic.write_text(hashes.path, written.replace("PATH", str(file)))
    assert hashes.sha256(file) == atomic.sha256(file)
    hashes.keep()
    assert list(json.loads(hashes.path.read_text())) == [str(file)]


def test_two_writers_merge_their_hashes_into_one_cache(tmp_path, hashes, file):
    (tmp_path / "b").write_text("b")
    (tmp_path / "c").write_text("c")
    one, two = FileHashes.of(tmp_path), FileHashes.of(tmp_path)
    one.sha256(tmp_path / "b")
    two.sha256(tmp_path / "c")
    one.keep()
    two.keep()
    assert sorted(json.loads(one.path.read_text())) == sorted(map(str, [tmp_path / "b", tmp_path / "c", file]))
