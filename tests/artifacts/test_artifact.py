"""Artifacts: whole or not there, checked when read, with a digest over content alone."""

import json
import os
import shutil
from pathlib import Path

import pytest

from artifacts import ArtifactError, Output, atomic, open_artifact
from artifacts.file_hashes import FileHashes


def make(root: Path, text: str = "rows", sidecar: str = "now", parents=None, step: str = "prepare_data"):
    output = Output("corpus", root / "work" / "a", step=step, parents=parents or {}, root=root)
    output.file("train.txt").write_text(text)
    output.sidecar("times.json").write_text(sidecar)
    output.counts["rows"] = 1
    return output.commit()


def test_open_artifact_reads_back_committed_files(tmp_path):
    made = make(tmp_path)
    read = open_artifact(made.path, "corpus")
    assert read.file("train.txt").read_text() == "rows"
    assert read.sidecar("times.json").read_text() == "now"
    assert read.counts == {"rows": 1}
    assert not (tmp_path / "work" / "a" / "artifact.tmp").exists()


def test_digest_covers_content_only(tmp_path):
    first, second = make(tmp_path, sidecar="today"), make(tmp_path, sidecar="tomorrow", step="another")
    assert first.digest == second.digest
    assert first.path != second.path
    assert make(tmp_path, text="other rows").digest != first.digest


def test_lineage_lists_each_ancestor_once(tmp_path):
    corpus = make(tmp_path)
    middle = make(tmp_path, "tokens", parents={"corpus": corpus}, step="train_tokenizer")
    last = make(tmp_path, "weights", parents={"corpus": corpus, "tokenizer": middle}, step="pretrain")
    assert [entry["step"] for entry in last.lineage] == ["prepare_data", "train_tokenizer", "pretrain"]
    assert last.lineage[-1]["parents"] == {"corpus": corpus.digest, "tokenizer": middle.digest}
    assert last.manifest["parents"]["tokenizer"] == {"kind": "corpus", "digest": middle.digest}


@pytest.mark.parametrize("name", ["train.txt", "sidecars/times.json"])
def test_open_artifact_rejects_changed_byte_and_names_file(tmp_path, name):
    made = make(tmp_path)
    file = made.path / name
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    with pytest.raises(ArtifactError, match=f"{name}.*sha256 differs.*run its pipeline again"):
        open_artifact(made.path)


def test_errors_name_missing_file_wrong_kind_and_missing_artifact(tmp_path):
    made = make(tmp_path)
    with pytest.raises(ArtifactError, match="a corpus, where a tokenizer is needed"):
        open_artifact(made.path, "tokenizer")
    with pytest.raises(ArtifactError, match="no file 'labels'"):
        made.file("labels")
    made.file("train.txt").unlink()
    with pytest.raises(ArtifactError, match=r"train\.txt: missing"):
        open_artifact(made.path)
    with pytest.raises(ArtifactError, match="no artifact here"):
        open_artifact(tmp_path / "nowhere")


def test_manifest_with_wrong_schema_digest_or_syntax_is_rejected(tmp_path):
    made = make(tmp_path)
    manifest = json.loads((made.path / "manifest.json").read_text())
    atomic.write_json(made.path / "manifest.json", manifest | {"schema": 99})
    with pytest.raises(ArtifactError, match="schema 99, this version reads 1"):
        open_artifact(made.path)
    atomic.write_json(made.path / "manifest.json", manifest | {"digest": "0" * 64})
    with pytest.raises(ArtifactError, match="its digest is not that of its files"):
        open_artifact(made.path)
    (made.path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        open_artifact(made.path)


def test_commit_of_empty_output_raises_error(tmp_path):
    with pytest.raises(ArtifactError, match="nothing was written"):
        Output("corpus", tmp_path / "work", root=tmp_path).commit()


def test_new_output_discards_partial_files_and_keeps_checkpoints(tmp_path):
    work = tmp_path / "work"
    first = Output("checkpoint", work, root=tmp_path)
    first.file("weights").write_text("half")
    (work / "checkpoint-1").write_text("kept")
    second = Output("checkpoint", work, root=tmp_path)
    assert not second.file("weights").exists()
    assert (work / "checkpoint-1").read_text() == "kept"


def as_a_file(path):
    shutil.rmtree(path)
    path.write_text("")


def as_an_empty_folder(path):
    shutil.rmtree(path)
    path.mkdir()


def changed_in_silence(file):
    status = file.stat()
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


DAMAGES = {
    "one byte, size and time as before": lambda path: changed_in_silence(path / "train.txt"),
    "a file missing": lambda path: (path / "train.txt").unlink(),
    "a sidecar missing": lambda path: (path / "sidecars" / "times.json").unlink(),
    "a file that is a folder": lambda path: ((path / "train.txt").unlink(), (path / "train.txt").mkdir()),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "an empty manifest": lambda path: (path / "manifest.json").write_text(""),
    "a manifest that is a folder": lambda path: ((path / "manifest.json").unlink(), (path / "manifest.json").mkdir()),
    "a file in its place": as_a_file,
    "an empty folder": as_an_empty_folder,
    "nothing": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_artifact_error_is_one_line_with_its_path(tmp_path, damage):
    made = make(tmp_path)
    hashes = FileHashes.of(tmp_path)
    open_artifact(made.path, sha256=hashes.sha256)
    DAMAGES[damage](made.path)
    for sha256 in (atomic.sha256, hashes.sha256):
        with pytest.raises(ArtifactError) as raised:
            open_artifact(made.path, sha256=sha256)
        assert str(made.path) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_file_manager_leftovers_do_not_invalidate_artifact(tmp_path):
    made = make(tmp_path)
    (made.path / ".DS_Store").write_text("")
    assert open_artifact(made.path).digest == made.digest
