"""Backups whose manifest somebody else wrote: nothing is read or written outside of the places that were named."""

import json
import os
import shutil
import sqlite3

import pytest

from artifacts import atomic
from deploy.backup import __main__ as command
from deploy.backup.backup_folder import BackupError, check, open_backup
from deploy.backup.creation import create
from deploy.backup.locations import Places
from deploy.backup.restoration import restore
from deploy.backup.sqlite import SqliteStore

TABLES = """
CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT);
CREATE TABLE runs (artifact_uri TEXT);
CREATE TABLE model_versions (source TEXT);
CREATE TABLE registered_model_aliases (alias TEXT);
CREATE TABLE alembic_version (version_num TEXT);
INSERT INTO alembic_version VALUES ('451aebb31d03');
"""


def user(folder, artifacts="mlruns/0"):
    """A store, artifacts and a home of one user."""
    where = folder / artifacts
    where.mkdir(parents=True)
    (where / "model.txt").write_text("weights")
    (folder / "var" / "records").mkdir(parents=True)
    with sqlite3.connect(folder / "mlflow.db") as store:
        store.executescript(TABLES)
        store.execute("INSERT INTO experiments VALUES (0, ?)", (str(where),))
    store.close()
    return at(folder)


def at(folder):
    return Places(SqliteStore(folder / "mlflow.db"), folder / "var", tracking_uri="")


@pytest.fixture
def backup(tmp_path):
    return create(user(tmp_path / "here"), tmp_path / "backups" / "one").path


def rewrite(backup, change):
    """Change the manifest, and give it a digest that fits: the digest is no signature."""
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest.pop("digest")
    change(manifest)
    try:
        (backup / "manifest.json").write_text(atomic.json_text(manifest | {"digest": atomic.digest_of(manifest)}))
    except UnicodeEncodeError:
        (backup / "manifest.json").write_text(json.dumps(manifest | {"digest": "0" * 64}))


def plant(backup, path, folder="artifacts/evil"):
    """A file that would be written to `path`."""
    file = backup / folder / "authorized_keys"
    file.parent.mkdir(parents=True)
    file.write_text("ssh-rsa EVIL\n")
    entry = {"sha256": atomic.sha256(file), "bytes": file.stat().st_size}

    def change(manifest):
        manifest["files"][f"{folder}/authorized_keys"] = entry
        manifest["artifacts"].append({"folder": folder, "path": path})

    return change


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def refused(backup, tmp_path, *moves):
    (tmp_path / "there").mkdir(exist_ok=True)
    before = tree(tmp_path)
    with pytest.raises(BackupError) as raised:
        restore(backup, at(tmp_path / "there"), True, print, moves)
    after = tree(tmp_path)
    assert [path for path in after if path not in before and not path.endswith(("there/var", "locks"))] == []
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def test_unmodified_backup_is_restored(backup, tmp_path):
    (tmp_path / "there").mkdir()
    restore(backup, at(tmp_path / "there"), False, print)
    assert (tmp_path / "there" / "mlruns" / "0" / "model.txt").read_text() == "weights"


@pytest.mark.parametrize(
    "place",
    ["{tmp}/elsewhere", "/etc/glassformer-evil", "{tmp}/here/steps", "{tmp}/here/sitecustomize", "{tmp}/here/.git/hooks",
     "{tmp}/here", "{tmp}/here/mlruns-evil", "/root/.ssh"],
)  # fmt: skip
def test_restore_refuses_artifact_folders_not_named_by_move(backup, tmp_path, place):
    place = place.format(tmp=tmp_path)
    rewrite(backup, plant(backup, place))
    assert f"--move {place}=FOLDER" in refused(backup, tmp_path)


@pytest.mark.parametrize("base", ["base", "home", "checkout"])
def test_manifest_base_folders_cannot_redirect_artifacts(backup, tmp_path, base):
    rewrite(backup, lambda manifest: manifest.update({base: "/"}) or plant(backup, "/../../etc/x")(manifest))
    assert "is no absolute path" in refused(backup, tmp_path)
    if base != "home":  # which is ours, whatever its folders are called
        rewrite(backup, lambda manifest: manifest["artifacts"][-1].update(path="/pipelines"))
        assert "say where they belong" in refused(backup, tmp_path)


def test_move_option_restores_artifacts_from_a_custom_folder(tmp_path):
    made = create(user(tmp_path / "here", "my artifacts/exp"), tmp_path / "backups" / "one")
    was = tmp_path / "here" / "my artifacts" / "exp"
    told = refused(made.path, tmp_path)
    assert f"--move {was}=FOLDER" in told
    restore(made.path, at(tmp_path / "there"), True, print, [(was, tmp_path / "disk" / "exp")])
    assert (tmp_path / "disk" / "exp" / "model.txt").read_text() == "weights"


@pytest.mark.parametrize("text", ["", "x", "=", "/a", "/a=", "a=/b"])
def test_malformed_move_option_is_rejected(text):
    with pytest.raises(BackupError, match="write OLD=NEW"):
        command._move(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m["files"].update({"/etc/passwd": {"sha256": "", "bytes": 1}}), "no file of its folder"),
        (lambda m: m["files"].update({"../x": {"sha256": "", "bytes": 1}}), "no file of its folder"),
        (lambda m: m["files"].update({"a\0b": {"sha256": "", "bytes": 1}}), "no file of its folder"),
        (lambda m: m["files"].update({"x" * 5000: {"sha256": "", "bytes": 1}}), "too long"),
        (lambda m: m["files"].update({"x": {"sha256": "", "bytes": "1"}}), "'bytes' is no int"),
        (lambda m: m["files"].update({"x": 5}), "no object"),
        (lambda m: m.pop("files"), "has no 'files'"),
        (lambda m: m.update(files=[]), "'files' is no dict"),
        (lambda m: m.pop("artifacts"), "has no 'artifacts'"),
        (lambda m: m.update(artifacts=[1]), "must hold objects only"),
        (lambda m: m["artifacts"].append({"folder": "home/runs", "path": "/x"}), "no folder of artifacts"),
        (lambda m: m["artifacts"].append({"folder": "artifacts/../home", "path": "/x"}), "no file of its folder"),
        (lambda m: m["artifacts"].append({"folder": "artifacts/1", "path": "relative"}), "no absolute path"),
        (lambda m: m["artifacts"].append({"folder": "artifacts/1", "path": 5}), "'path' is no str"),
        (lambda m: m["artifacts"].append(dict(m["artifacts"][0])), "within each other"),
        (lambda m: m.update(base=None), "'base' is no str"),
        (lambda m: m.update(home="var"), "no absolute path"),
        (lambda m: m.update(paths=[["a"]]), "pairs of a table and a column"),
        (lambda m: m.update(counts={}), "has no 'runs'"),
        (lambda m: m.pop("store"), "has no 'store'"),
    ],
)
def test_invalid_manifest_is_refused_with_the_reason(backup, tmp_path, change, told):
    rewrite(backup, change)
    assert told in refused(backup, tmp_path)


def test_links_leading_out_of_a_backup_and_pipes_are_refused(backup, tmp_path):
    (tmp_path / "outside.txt").write_text("of somebody else")
    (file,) = backup.glob("artifacts/0/model.txt")
    file.unlink()
    file.symlink_to(tmp_path / "outside.txt")
    entry = {"sha256": atomic.sha256(file), "bytes": file.stat().st_size}
    rewrite(backup, lambda manifest: manifest["files"].update({"artifacts/0/model.txt": entry}))
    with pytest.raises(BackupError, match=r"model.txt: is a link that leads out"):
        check(open_backup(backup))
    assert "leads out" in refused(backup, tmp_path)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BackupError, match="no plain file"):
        check(open_backup(backup))
    shutil.rmtree(file.parent)
    file.parent.symlink_to(tmp_path)
    assert "missing" in refused(backup, tmp_path)


@pytest.mark.parametrize("text", [b"[1]", b"5", b"\xff\xfe", b'{"a":' + b"[" * 50_000, b"{}", b""])
def test_unreadable_manifest_is_reported_as_damaged(backup, text):
    (backup / "manifest.json").write_bytes(text)
    with pytest.raises(BackupError, match=r"manifest.json: damaged"):
        open_backup(backup)
