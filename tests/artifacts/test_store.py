"""The store: records, and locks that a dead holder does not keep."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from artifacts import ArtifactError, Output
from artifacts.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def record(store, fingerprint="f" * 64, finished="2026-01-01T00:00:00Z"):
    output = Output("corpus", store.work(fingerprint), root=store.root)
    output.file("rows").write_text(fingerprint)
    made = output.commit()
    return {
        "step": "prepare_data",
        "fingerprint": fingerprint,
        "finished_at": finished,
        "artifact": {"path": store.path_of(made), "digest": made.digest, "kind": "corpus"},
    }


def test_store_returns_kept_record_and_artifact(store):
    kept = record(store)
    store.keep(kept)
    assert store.record("prepare_data", "f" * 64) == kept
    assert store.record("prepare_data", "0" * 64) is None
    assert store.artifact(kept, check=True).digest == kept["artifact"]["digest"]


def test_find_returns_newest_readable_artifact_with_digest(store):
    first = store.artifact(record(store), check=True)
    other = first.path.with_name(f"{first.digest[:16]}-99991231235959ffff")
    assert store.find("corpus", first.digest).path == first.path
    shutil.copytree(first.path, other)
    assert store.find("corpus", first.digest).path == other
    (other / "manifest.json").write_text("{")
    assert store.find("corpus", first.digest).path == first.path
    assert store.find("corpus", first.digest[:16] + "0" * 48) is None
    assert store.find("checkpoint", first.digest) is None


def test_records_are_sorted_by_time_and_skip_damaged_files(store):
    store.keep(record(store, "b" * 64, "2026-01-02T00:00:00Z"))
    store.keep(record(store, "a" * 64, "2026-01-01T00:00:00Z"))
    (store.root / "records" / "prepare_data" / "broken.json").write_text("{")
    assert [r["fingerprint"][0] for r in store.records("prepare_data")] == ["a", "b"]


def test_missing_artifact_of_a_record_raises_error(store):
    kept = record(store)
    made = store.artifact(kept, check=False)
    for path in made.path.iterdir():
        path.unlink()
    with pytest.raises(ArtifactError, match="no artifact here"):
        store.artifact(kept, check=False)


def test_lock_admits_one_holder_at_a_time_and_leaves_no_file(store):
    inside, most, waits = [], [], []

    def work():
        with store.lock("key", lambda: waits.append(1)):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(waits) >= 1
    assert list((store.root / "locks").iterdir()) == []


def test_lock_of_a_killed_holder_is_free(store):
    code = (
        "import sys, time; from pathlib import Path; from artifacts.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('key'):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with store.lock("key"):
        pass
    assert list((store.root / "locks").iterdir()) == []


def test_tidy_removes_leftovers_of_process_killed_after_its_record(store):
    key = "f" * 64
    kept = record(store, key)
    left = store.work(key) / "checkpoint"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("half of it")
    store.keep(kept)
    (store.root / "locks").mkdir()
    (store.root / "locks" / key).touch()
    with store.lock(key):
        store.tidy("prepare_data", key)
        assert left.exists()
        assert (store.root / "locks" / key).exists()
    (store.root / "locks" / key).touch()
    store.tidy("prepare_data", key)
    assert not store.work(key).exists()
    assert list((store.root / "locks").iterdir()) == []
    assert store.record("prepare_data", key) == kept
    store.tidy("prepare_data", key)


def test_tidy_keeps_work_newer_than_the_record(store):
    key = "f" * 64
    store.keep(record(store, key))
    left = store.work(key) / "checkpoint"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("half of it")
    later = time.time() + 10
    os.utime(left, (later, later))
    store.tidy("prepare_data", key)
    assert left.read_text() == "half of it"
    assert list((store.root / "locks").iterdir()) == []
