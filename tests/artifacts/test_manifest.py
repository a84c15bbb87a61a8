"""Artifacts that a stranger made: each is refused by name in one line, and nothing outside of the folder is read."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import ArtifactError, Output, atomic, open_artifact
from artifacts.artifact import content_digest
from artifacts.manifest import ManifestError, check_files, check_name
from artifacts.store import Store


@pytest.fixture
def folder(tmp_path):
    output = Output("checkpoint", tmp_path / "work", step="pretrain", root=tmp_path / "home")
    output.file("model.json").write_text("{}")
    output.file("tokenizer/tokenizer.json").write_text("{}")
    output.sidecar("cost.json").write_text("{}")
    output.counts["rows"] = 3
    (tmp_path / "outside.txt").write_text("of somebody else")
    return output.commit().path


def entry(path):
    return {"sha256": atomic.sha256(path), "bytes": path.stat().st_size}


def rewrite(folder, change):
    """Change the manifest, and give it a digest that fits, as anybody can."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    with contextlib.suppress(KeyError, TypeError, AttributeError, UnicodeEncodeError):
        manifest["digest"] = content_digest(manifest["kind"], manifest["files"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def problem(folder):
    with pytest.raises(ArtifactError) as raised:
        open_artifact(folder, "checkpoint")
    said = str(raised.value)
    assert str(folder) in said
    assert len(said.splitlines()) == 1
    assert said.encode()
    assert len(said) < 1200
    return said


def listed(name, **values):
    fine = {"sha256": "0" * 64, "bytes": 0, **values}
    return lambda manifest: manifest["files"].update({name: fine})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (listed("/etc/passwd"), "no file of its folder"),
        (listed("../../outside.txt"), "no file of its folder"),
        (listed("tokenizer/../../x"), "no file of its folder"),
        (listed("./model.json"), "no file of its folder"),
        (listed("a//b"), "no file of its folder"),
        (listed(""), "no file of its folder"),
        (listed("."), "no file of its folder"),
        (listed("a/"), "no file of its folder"),
        (listed("a\0b"), "no file of its folder"),
        (listed("a" * 5000), "too long"),
        (listed("b/" * 3000 + "c"), "too long"),
        (listed("\ud800"), "no UTF-8"),
        (listed("manifest.json"), "names 'manifest.json'"),
        (listed("sidecars/x"), "names 'sidecars/x' among its files"),
        (listed("not-there"), "missing"),
        (listed("tokenizer"), "no plain file"),
        (listed("model.json/x"), "missing"),
        (listed("model.json", bytes=2**62), "changed since"),
        (listed("model.json", bytes="2"), "'bytes' is no int"),
        (listed("model.json", bytes=True), "'bytes' is no int"),
        (listed("model.json", sha256=None), "'sha256' is no str"),
        (lambda m: m["files"]["model.json"].pop("sha256"), "has no 'sha256'"),
        (lambda m: m["files"].update(x="y"), "the entry of 'x' is no object"),
        (lambda m: m.update(files=["model.json"]), "'files' is no dict"),
        (lambda m: m.update(sidecars=None), "'sidecars' is no dict"),
        (lambda m: m["sidecars"].update({"model.json": m["files"]["model.json"]}), "among its sidecars"),
        (lambda m: m.pop("counts"), "has no 'counts'"),
        (lambda m: m.update(counts={"rows": "many"}), "'rows', which is no number"),
        (lambda m: m.pop("lineage"), "has no 'lineage'"),
        (lambda m: m.update(lineage=[1]), "'lineage' must hold objects only"),
        (lambda m: m["lineage"][0].pop("digest"), "has no 'digest'"),
        (lambda m: m.update(kind=["checkpoint"]), "'kind' is no str"),
        (lambda m: m.update(kind="report"), "a report, where a checkpoint is needed"),
        (lambda m: m.update(schema="1"), "'schema' is no int"),
        (lambda m: m.update(schema=True), "'schema' is no int"),
    ],
)
def test_tampered_manifest_is_rejected_with_reason(folder, change, told):
    rewrite(folder, change)
    assert told in problem(folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"[1, 2]", "no JSON object"),
        (b"5", "no JSON object"),
        (b"null", "no JSON object"),
        (b"", "Expecting value"),
        (b"\xff\xfe{}", "utf-8"),
        (b'{"kind": 1, "kind": 2}', "has 'kind' twice"),
        (b'{"bytes": NaN}', "NaN is no JSON"),
        (b'{"bytes": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"{}", "has no 'kind'"),
    ],
)
def test_malformed_manifest_json_is_rejected_with_reason(folder, text, told):
    (folder / "manifest.json").write_bytes(text)
    assert told in problem(folder)


def test_manifest_that_is_not_a_plain_file_is_rejected(folder, tmp_path):
    file = folder / "manifest.json"
    file.unlink()
    assert "no artifact here" in problem(folder)
    file.mkdir()
    assert "no plain file" in problem(folder)
    file.rmdir()
    os.mkfifo(file)
    assert "no plain file" in problem(folder)
    file.unlink()
    for target in (tmp_path / "outside.txt", "/dev/zero", "manifest.json"):
        file.symlink_to(target)
        assert "a link" in problem(folder)
        file.unlink()


@pytest.mark.parametrize("target", ["../../../../outside.txt", "/etc/passwd", "/dev/zero", "/proc/self/environ"])
def test_links_that_lead_out_of_the_folder_are_not_read(folder, target, monkeypatch):
    file = folder / "model.json"
    file.unlink()
    file.symlink_to(target)
    if Path(target).is_file():
        rewrite(folder, lambda m: m["files"].update({"model.json": entry(file)}))
    monkeypatch.setattr(atomic, "sha256", lambda path: pytest.fail(f"{path} was read") if path == file else "0" * 64)
    assert "model.json: is a link that leads out of its folder" in problem(folder)


def test_subfolder_that_links_outside_is_rejected(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "tokenizer" / "tokenizer.json").rename(tmp_path / "elsewhere" / "tokenizer.json")
    (folder / "tokenizer").rmdir()
    (folder / "tokenizer").symlink_to(tmp_path / "elsewhere")
    assert "leads out of its folder" in problem(folder)


def test_unlisted_files_are_allowed_but_outside_links_and_pipes_are_not(folder, tmp_path):
    (folder / "notes.txt").write_text("of a user")
    (folder / "same").symlink_to("model.json")
    open_artifact(folder, "checkpoint")
    (folder / "pretraining.json").symlink_to(tmp_path / "outside.txt")
    assert "'pretraining.json' is a link that leads out of its folder" in problem(folder)
    (folder / "pretraining.json").unlink()
    os.mkfifo(folder / "pipe")
    assert "'pipe' is no plain file" in problem(folder)


def test_link_loops_and_pipes_are_rejected(folder):
    file = folder / "model.json"
    file.unlink()
    file.symlink_to("model.json")
    assert "model.json: cannot be opened" in problem(folder)
    file.unlink()
    os.mkfifo(file)
    assert "model.json: is no plain file" in problem(folder)


def test_artifact_folder_opens_through_a_link(folder, tmp_path):
    (tmp_path / "short").symlink_to(folder)
    assert open_artifact(tmp_path / "short", "checkpoint").counts == {"rows": 3}


@pytest.mark.parametrize("path", ["", "\0", "x" * 5000, "/dev/null", "/proc/self/mem"])
def test_open_artifact_rejects_path_without_artifact(path):
    with pytest.raises(ArtifactError):
        open_artifact(path)


@given(st.text(max_size=20) | st.text(alphabet="./a\0\\", max_size=10))
def test_accepted_file_names_stay_inside_the_folder(tmp_path_factory, name):
    try:
        check_name(name)
    except ManifestError:
        return
    assert os.path.normpath(f"/folder/{name}").startswith("/folder/")
    check_files({name: {"sha256": "", "bytes": 0}})


@pytest.mark.parametrize("path", ["/etc", "../elsewhere/corpus/x", "artifacts/../../x", "", ".", "artifacts/\0"])
def test_store_ignores_record_that_points_outside_its_artifacts(tmp_path, path):
    store = Store(tmp_path)
    record = {"step": "prepare_data", "fingerprint": "f", "artifact": {"path": path, "digest": "0", "kind": "corpus"}}
    store.keep(record)
    assert store.record("prepare_data", "f") is None
    store.keep(record | {"artifact": record["artifact"] | {"path": "artifacts/corpus/x"}})
    assert store.record("prepare_data", "f") is not None
