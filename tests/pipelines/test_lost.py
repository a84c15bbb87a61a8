"""Artifacts that are gone or damaged: told in one line, made again, and never in the way of a rerun."""

import json
import os
import shutil

import pytest

from artifacts import atomic
from tests.pipeline_home import Home

PIPELINE = """\
nodes:
  prepare_data:
    config: {{source: {source}, label_column: label, min_characters: 1, near_duplicate_threshold: 1.0, threads: 1}}
  train_tokenizer: {{inputs: {{corpus: prepare_data}}, config: {{vocab_size: 310, max_texts: 100}}}}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A home in which a small pipeline of two nodes ran; its pipeline's file."""
    folder = tmp_path_factory.mktemp("lost")
    verbs = ["runs", "sleeps", "jumps", "wanders", "listens", "follows", "remembers", "swims", "hides", "climbs"]
    rows = [
        f"the {colour} {animal} {verb} and {other} {atomic.digest_of([verb, other])[:12]},{animal}"
        for verb in verbs
        for other in verbs
        for colour in ("red", "blue")
        for animal in ("fox", "cat")
    ]
    (folder / "animals.csv").write_text("\n".join(["text,label", *rows, ""]))
    (folder / "mine.yaml").write_text(PIPELINE.format(source=folder / "animals.csv"))
    home = Home(folder)
    home.run("run", str(folder / "mine.yaml"))
    return home, str(folder / "mine.yaml")


def folder_of(home, kind):
    """Of the newest artifact."""
    records = [atomic.read_json(path) for path in (home.state / "records").glob("*/*.json")]
    (record,) = [record for record in records if record["artifact"]["kind"] == kind]
    return home.state / record["artifact"]["path"]


def made_again(output):
    return [line for line in output.splitlines() if " again" in line and "made again" not in line]


def states(output):
    return [
        line.split()[1] for line in output.splitlines() if line.startswith(("  prepare_data ", "  train_tokenizer "))
    ]


def test_deleted_artifact_is_made_again_and_reported_once(ran):
    home, pipeline = ran
    folder = folder_of(home, "tokenizer")
    digests = {node: entry["artifact"] for node, entry in home.plan(pipeline).items()}
    shutil.rmtree(folder)
    plan = home.plan(pipeline)
    assert [entry["state"] for entry in plan.values()] == ["HIT", "MISS"]
    assert plan["train_tokenizer"]["reasons"] == [f"its artifact is lost: {folder}: gone"]
    output = home.run("run", pipeline)
    assert states(output) == ["cached", "made"]
    (told,) = made_again(output)
    assert told.endswith(f"warning: {folder}: gone: train_tokenizer makes the tokenizer again")
    again = home.run("run", pipeline)
    assert states(again) == ["cached", "cached"]
    assert made_again(again) == []
    assert {node: entry["artifact"] for node, entry in home.plan(pipeline).items()} == digests


def test_hidden_byte_change_is_found_by_run_from_later_node(ran):
    home, pipeline = ran
    folder = folder_of(home, "corpus")
    file, memory = folder / "info.json", home.state / "records" / "files.json"
    file = file if file.exists() else sorted(path for path in folder.iterdir() if path.is_file())[0]
    status, sha256 = file.stat(), atomic.sha256(file)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    # A disk that changed a bit leaves no trace in these: the memory says that the file is as it was
    status = file.stat()
    entry = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, sha256]
    atomic.write_json(memory, {**atomic.read_json(memory), str(file): entry})
    assert [entry["state"] for entry in home.plan(pipeline).values()] == ["HIT", "HIT"]
    output = home.run("run", pipeline, "--from", "train_tokenizer")
    assert states(output) == ["made", "cached"], "the same corpus is made again, so what follows is a hit"
    (told,) = made_again(output)
    assert f"warning: {file}: changed since it was made (sha256 differs): prepare_data makes the corpus again" in told


def test_single_step_reports_damaged_input(ran):
    home, _ = ran
    copy = home.folder / "copy"
    shutil.copytree(folder_of(home, "corpus"), copy)
    (copy / "manifest.json").unlink()
    output = home.run("--corpus", str(copy), "--vocab_size", "310", module="steps.train_tokenizer", expect=1)
    assert f"{copy}: no artifact here" in output
    assert "Traceback" not in output


def test_log_file_is_json_and_console_output_is_plain_lines(ran):
    home, pipeline = ran
    output = home.run("run", pipeline)
    assert not [line for line in output.splitlines() if line.startswith("{")]
    newest = max((home.state / "logs").glob("*/pipeline.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    records = [json.loads(line) for line in newest.read_text().splitlines()]
    assert [record["event"] for record in records].count("node.cached") == 2
    as_json = home.run("run", pipeline, "--log-format", "json")
    assert [json.loads(line)["event"] for line in as_json.splitlines() if line.startswith("{")].count(
        "node.cached"
    ) == 2
