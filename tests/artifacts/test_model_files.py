"""The parts of a model version are known by their digests, and what is missing or changed is named."""

import json

from artifacts import atomic, model_files


def made(folder):
    for name, text in (
        ("model.py", "m"),
        ("code/a.py", "x = 1"),
        ("code/a.pyc", "cache"),
        ("artifacts/checkpoint/model.json", "{}"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    atomic.write_json(folder / model_files.ANSWERS, {"questions": []})
    digests = {
        "checkpoint": model_files.checkpoint_digest(folder),
        "code": model_files.code_digest(folder),
        "recorded": model_files.recorded_digest(folder),
    }
    return {f"glassformer.{name}": digest for name, digest in digests.items()}


def test_python_cache_files_do_not_count_as_changed_parts(tmp_path):
    tags = made(tmp_path)
    assert model_files.missing(tmp_path) == []
    (tmp_path / "code" / "b.pyc").write_text("more cache")
    assert model_files.changed_parts(tmp_path, tags) == []
    assert model_files.bytes_of(tmp_path) == sum(
        file.stat().st_size for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".pyc"
    )


def test_changed_parts_are_named_and_untagged_parts_are_skipped(tmp_path):
    tags = made(tmp_path)
    (tmp_path / "code" / "a.py").write_text("x = 2")
    (tmp_path / model_files.ANSWERS).write_text(json.dumps({"questions": ["other"]}))
    assert model_files.changed_parts(tmp_path, tags) == ["code", "recorded"]
    assert model_files.changed_parts(tmp_path, {}) == []
    (tmp_path / model_files.CHECKPOINT / "more").write_text("")
    assert model_files.changed_parts(tmp_path, tags) == ["checkpoint", "code", "recorded"]


def test_missing_files_of_a_version_are_named(tmp_path):
    made(tmp_path)
    (tmp_path / "model.py").unlink()
    assert model_files.missing(tmp_path) == ["model.py"]
    (tmp_path / model_files.ANSWERS).unlink()
    assert model_files.recorded_digest(tmp_path) == ""
