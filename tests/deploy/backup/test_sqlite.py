"""Backups with sqlite: everything is destroyed and comes back, elsewhere too; what cannot work is one clear line."""

import errno
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from artifacts import atomic, open_artifact
from artifacts.runs import Run
from deploy.backup import backup_folder, creation, restoration
from deploy.backup.locations import Places
from deploy.backup.sqlite import SqliteStore
from tests.deploy.backup.world import World, dumped, files_under
from tests.pipeline_home import ROOT


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world") / "here").build()


@pytest.fixture(scope="module")
def made(world):
    """A backup of the world."""
    all_of_them = world.folder.parent / "backups"
    world.backup("create", "--to", all_of_them, "--name", "one")
    return all_of_them / "one"


@pytest.fixture
def own(made, tmp_path):
    """A copy of the backup that a test may damage."""
    shutil.copytree(made, tmp_path / "backups" / "own")
    return tmp_path / "backups" / "own"


def in_process(world):
    return Places(SqliteStore(world.folder / "mlflow.db"), world.home, tracking_uri=world.tracking_uri)


def test_restore_recovers_everything_after_total_loss(world, made):
    before, asked = files_under(world.folder / "mlruns"), world.ask()
    database, home = dumped(world.folder / "mlflow.db"), files_under(world.home)
    assert "3 runs, 1 model versions, 1 aliases" in world.backup("check", made)
    assert oct(made.stat().st_mode)[-3:] == "700"
    world.destroy()
    assert "restored" in world.backup("restore", "--to", made.parent)
    assert dumped(world.folder / "mlflow.db") == database
    assert files_under(world.folder / "mlruns") == before
    kept = {name: digest for name, digest in home.items() if name.split("/")[0] in ("artifacts", "records", "runs")}
    assert files_under(world.home) == kept
    (artifact,) = (world.home / "artifacts").glob("*/*")
    open_artifact(artifact)
    assert world.ask() == asked
    assert not list(world.folder.rglob("*.restoring")), "nothing is left beside it"


def test_restore_to_another_folder_rewrites_paths_in_the_store(world, made, tmp_path):
    asked = world.ask()
    moved = World(tmp_path / "it's elsewhere")
    moved.backup("restore", made)
    world.folder.rename(world.folder.with_name("away"))  # nothing may be read from where it was
    try:
        found = moved.ask()
    finally:
        world.folder.with_name("away").rename(world.folder)
    assert all(uri.startswith(f"{moved.folder}/mlruns/0/") for uri in found["artifact_uris"])
    assert {**found, "artifact_uris": 0} == {**asked, "artifact_uris": 0}
    assert not any(
        str(world.folder) in line for line in dumped(moved.folder / "mlflow.db") if "mlflow.source" not in line
    )
    assert atomic.read_json(moved.home / "runs" / "one" / "run.json")["tracking_uri"] == moved.tracking_uri


def test_restore_moves_an_existing_store_aside_only_with_replace(made, tmp_path):
    other = World(tmp_path / "w")
    other.backup("restore", made)
    (other.home / "records" / "newer.json").write_text("{}")
    before = files_under(other.folder)
    told = other.backup("restore", made, code=1)
    assert "there already" in told
    assert "--replace" in told
    assert files_under(other.folder) == before
    told = other.backup("restore", made, "--replace")
    assert "lies aside" in told
    after = files_under(other.folder)
    assert len(list(other.folder.glob("mlflow.db.before-*"))) == 1
    assert not (other.home / "records" / "newer.json").exists()
    assert sorted(before.values()) == sorted(digest for name, digest in after.items() if ".before-" in name), (
        "all of it"
    )


def test_backup_during_writes_is_consistent_and_does_not_stop_the_writer(made, tmp_path):
    other = World(tmp_path / "w")
    other.backup("restore", made)
    code = (
        "import sqlite3, sys, time\n"
        "c = sqlite3.connect('mlflow.db', timeout=30); c.execute('CREATE TABLE pairs (a, b)'); print('on', flush=True)\n"
        "for n in range(10**9):\n"
        "    with c:\n        c.execute('INSERT INTO pairs VALUES (?, NULL)', (n,)); c.execute('UPDATE pairs SET b = a')\n"
        "    time.sleep(0.002)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=other.folder, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"on\n"
        time.sleep(0.3)
        try:
            for number in range(3):
                other.backup("create", "--to", tmp_path / "backups", "--name", str(number))
                copy = sqlite3.connect(tmp_path / "backups" / str(number) / "store.sqlite")
                assert copy.execute("SELECT count(*) FROM pairs WHERE b IS NULL OR a <> b").fetchone() == (0,)
                copy.close()
            told = other.backup("restore", "--to", tmp_path / "backups", "--replace", code=1)
            assert f"is used by process {writer.pid}" in told
            assert writer.poll() is None, "it wrote on"
        finally:
            writer.kill()


def test_running_pipeline_blocks_a_restore(made, tmp_path):
    other = World(tmp_path / "w")
    run = Run.start(other.home, "live", "tiny", "")
    assert f"run live (tiny, process {run.pid}) is under way" in other.backup("restore", made, code=1)


def truncate(own):
    file = own / "store.sqlite"
    file.write_bytes(file.read_bytes()[:-100])


def change(own):
    (file,) = own.glob("home/artifacts/corpus/*/rows.txt")
    file.write_text("rowz")


def take_away(own):
    next(own.glob("artifacts/0/*/artifacts/notes/text.txt")).unlink()


def change_manifest(own):
    (own / "manifest.json").write_text((own / "manifest.json").read_text().replace('"runs": 3', '"runs": 4'))


def again(own, **values):
    manifest = json.loads((own / "manifest.json").read_text()) | values
    del manifest["digest"]
    atomic.write_json(own / "manifest.json", manifest | {"digest": atomic.digest_of(manifest)})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (truncate, "store.sqlite: "),
        (change, "rows.txt: changed since it was made"),
        (take_away, "text.txt: missing"),
        (change_manifest, "manifest.json: changed since"),
        (lambda own: (own / "manifest.json").write_text("{"), "manifest.json: damaged"),
        (lambda own: (own / "manifest.json").unlink(), "no backup here"),
        (lambda own: again(own, schema=99), "update it first"),
        (lambda own: again(own, revision="ffffffffffff"), "newer MLflow (schema ffffffffffff)"),
        (lambda own: again(own, store="postgresql"), "MLFLOW_TRACKING_URI names sqlite"),
        (lambda own: again(own, files={"../x": {"sha256": "", "bytes": 0}}), "no file of its folder"),
    ],
)
def test_restoring_an_invalid_backup_changes_nothing(own, tmp_path, damage, told):
    damage(own)
    other = World(tmp_path / "w")
    assert told in other.backup("restore", own, code=1)
    assert [path.name for path in other.folder.rglob("*") if path.is_file()] == []


def test_restore_interrupted_at_any_rename_resumes(made, tmp_path, monkeypatch):
    rename, dead = type(tmp_path).rename, 0
    World(tmp_path / "first").backup("restore", made)
    for survived in range(20):
        other = World(tmp_path / str(survived))
        shutil.copytree(tmp_path / "first", other.folder)
        (other.home / "runs" / "old.txt").write_text("old")
        calls = iter(range(survived))

        def dying(self, target, calls=calls):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return rename(self, target)

        monkeypatch.setattr(type(tmp_path), "rename", dying)
        try:
            restoration.restore(made, in_process(other), True, print)
            monkeypatch.setattr(type(tmp_path), "rename", rename)
            break
        except KeyboardInterrupt:
            monkeypatch.setattr(type(tmp_path), "rename", rename)
        dead += 1
        assert "cut short" in other.backup("create", "--to", tmp_path / "b", code=1)
        assert "going on with it" in other.backup("restore")
        assert not (other.home / "restore.json").exists()
        assert not list(other.folder.rglob("*.restoring"))
        assert not (other.home / "runs" / "old.txt").exists()
        assert len(list(other.home.glob("runs.before-*/old.txt"))) == 1
        assert dumped(other.folder / "mlflow.db")
    assert dead >= 10, "five places with something in them: two renames each"


def test_backup_killed_mid_copy_is_not_listed_and_the_next_one_cleans_up(world, tmp_path):
    big = world.folder / "mlruns" / "0" / "big.bin"
    with big.open("wb") as file:
        file.truncate(2_000_000_000)
    command = [sys.executable, "-m", "deploy.backup", "create", "--to", str(tmp_path), "--name", "killed"]
    try:
        with subprocess.Popen(command, cwd=ROOT, env=world.environment) as process:
            until = time.monotonic() + 60
            while not list(tmp_path.glob(".killed.*.making/artifacts/0/big.bin")):
                assert time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    finally:
        big.unlink()
    assert not (tmp_path / "killed").exists()
    assert world.backup("list", "--to", tmp_path) == ""
    world.backup("create", "--to", tmp_path, "--name", "next")
    assert [path.name for path in tmp_path.iterdir()] == ["next"]


def test_full_disk_raises_a_clear_error_and_leaves_no_files(world, made, tmp_path, monkeypatch):
    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(backup_folder.shutil, "copystat", full)
    with pytest.raises(backup_folder.BackupError, match="no space left on the disk; make room"):
        creation.create(in_process(world), tmp_path / "backups" / "b")
    assert list((tmp_path / "backups").iterdir()) == []
    other = World(tmp_path / "w")
    with pytest.raises(backup_folder.BackupError, match="no space left on the disk; make room"):
        restoration.restore(made, in_process(other), False, print)
    assert [path for path in other.folder.rglob("*") if path.is_file()] == []
    monkeypatch.setattr(backup_folder.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(backup_folder.BackupError, match="are needed, 0 MB are free"):
        restoration.restore(made, in_process(other), False, print)


def test_unusable_store_or_backup_fails_with_a_clear_message(world, tmp_path):
    def told(uri, *arguments, **more):
        one = World(tmp_path / "w", uri, tuple(more.items()))
        return one.backup("create", "--to", tmp_path / "backups", *arguments, code=1)

    assert "no MLflow store here" in told("")
    assert "--compose" in told("http://user:canary-secret@127.0.0.1:1")
    assert "canary-secret" not in told("http://user:canary-secret@127.0.0.1:1")
    assert "only sqlite and PostgreSQL" in told("mysql://localhost/x")
    assert "MLFLOW_REGISTRY_URI" in told(world.tracking_uri, MLFLOW_REGISTRY_URI="sqlite:////x.db")
    (tmp_path / "text.db").write_text("this is no database at all" * 100)
    assert "no sqlite database" in told(f"sqlite:///{tmp_path}/text.db")
    assert "is not on PATH" in told("postgresql://127.0.0.1:1/x", PATH=str(tmp_path))
    assert "no backup here" in world.backup("restore", "--to", tmp_path / "none", code=1)
    assert not (tmp_path / "backups").exists() or list((tmp_path / "backups").iterdir()) == []


def test_backup_skips_links_and_temporary_files_and_records_the_links(made, tmp_path):
    other = World(tmp_path / "w")
    other.backup("restore", made)
    (other.home / "runs" / "link").symlink_to("/etc/hostname")
    (other.home / "runs" / ".run.json.1.tmp").write_text("half")
    done = creation.create(in_process(other), tmp_path / "backups" / "b")
    assert done.manifest["left_out"] == [f"{other.home}/runs/link (not a plain file)"]
    assert [name for name in done.files if name.endswith(("link", ".tmp"))] == []
    assert "b  " in other.backup("list", "--to", tmp_path / "backups")
