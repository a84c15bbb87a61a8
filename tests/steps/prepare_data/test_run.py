"""prepare_data: the same bytes twice, nothing across splits, bad rows set aside, clear errors."""

import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from artifacts.corpus import SPLITS, Corpus
from artifacts.errors import UserError
from steps.prepare_data import dependencies
from steps.prepare_data.config import Config
from tests.pipeline_home import ROOT
from tests.prepared import all_texts, prepare, sentences, write_jsonl


def rows_of(count, seed=0, labels="abc"):
    texts = sentences(count, seed)
    return [{"text": text, "kind": labels[n % len(labels)], "module": f"m{n // 5}"} for n, text in enumerate(texts)]


LABELLED = {"label_column": "kind", "group_column": "module"}


def test_digest_depends_on_seed_but_not_on_location(tmp_path):
    made = []
    for home in ("one", "two"):
        source = write_jsonl(tmp_path / home / "rows.jsonl", rows_of(300))
        made.append(prepare(tmp_path / home / "home", source, **LABELLED))
    assert made[0].digest == made[1].digest
    source = write_jsonl(tmp_path / "two" / "rows.jsonl", rows_of(300))
    assert prepare(tmp_path / "three", source, **LABELLED, seed=2).digest != made[0].digest


def test_groups_stay_in_one_split_and_shares_are_approximate(tmp_path):
    corpus = Corpus(prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows_of(3000)), **LABELLED))
    groups = {split: {row["group"] for row in corpus.rows(split)} for split in SPLITS}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]
    assert corpus.count("test") / 3000 == pytest.approx(0.12, abs=0.03)
    assert corpus.count("validation") / 3000 == pytest.approx(0.08, abs=0.03)


def test_planted_duplicates_across_groups_end_in_one_split(tmp_path):
    rows = rows_of(600)
    for n in range(100):  # in other groups, in capitals and with more words
        text = rows[n]["text"]
        rows.append({"text": text.upper(), "kind": rows[n]["kind"], "module": f"copy{n}"})
        rows.append({"text": f"{text} and more", "kind": rows[n]["kind"], "module": f"near{n}"})
    made = prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), **LABELLED)
    corpus = Corpus(made)
    assert corpus.info["duplicates"]["exact"] == 0
    assert corpus.info["duplicates"]["near"] >= 190  # 18 of 16 + 4 shingles: at the threshold, an estimate may miss
    assert corpus.info["leak_check"]["duplicates_across_splits"] == 0
    seen: dict[str, str] = {}
    for split, texts in all_texts(made).items():
        for text in texts:
            assert seen.setdefault(text.lower(), split) == split


def test_split_of_row_without_group_depends_only_on_its_text(tmp_path):
    one = all_texts(prepare(tmp_path, write_jsonl(tmp_path / "a.jsonl", rows_of(300))))
    more = all_texts(prepare(tmp_path, write_jsonl(tmp_path / "b.jsonl", rows_of(300, seed=1) + rows_of(300))))
    for split in SPLITS:
        assert set(one[split]) <= set(more[split])


def test_every_bad_row_is_set_aside_with_reason_and_place(tmp_path):
    good = "".join(f"{text}\n" for text in sentences(5000))
    path = tmp_path / "rows.txt"
    path.write_bytes(good.encode() + b"broken \xff\xfe text\n" + b"a NUL \x00 in it\n")
    made = prepare(tmp_path, path)
    set_aside = pq.read_table(made.file("quarantine.parquet")).to_pylist()
    assert [(row["reason"], row["place"]) for row in set_aside] == [
        ("not UTF-8", "rows.txt:5001"),
        ("NUL character", "rows.txt:5002"),
    ]
    assert set_aside[1]["start"] == "a NUL \N{REPLACEMENT CHARACTER} in it"
    assert Corpus(made).info["quarantined"] == {"NUL character": 1, "not UTF-8": 1}


def test_empty_and_non_unicode_texts_are_set_aside(tmp_path):
    rows = [*rows_of(100), {"text": " \n"}, {"text": "\ud83d" + "x" * 30}, {"text": ""}, {"text": "short"}]
    info = Corpus(prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), allowed_bad_share=0.1)).info
    assert info["quarantined"] == {"empty": 2, "not Unicode": 1}
    assert info["too_short"] == 1


def test_too_many_bad_rows_fail_unless_allowed(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_bytes("".join(f"{text}\n" for text in sentences(998)).encode() + b"\xff\n\x00\n")
    with pytest.raises(
        UserError, match=r"2 of 1000 rows.*not UTF-8.*the first: rows\.txt:999.*allowed_bad_share=0\.001"
    ):
        prepare(tmp_path / "home", path)
    assert not (tmp_path / "home" / "artifacts").exists()
    assert prepare(tmp_path / "home", path, allowed_bad_share=0.002).counts["train"] > 700


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("", {}, "no usable row among 0"),
        ("short\n" * 5, {}, r"no usable row among 5 \(5 shorter than min_characters=10"),
        ("one text alone in the file\n", {}, r"the split (validation|test|train) is empty \(1 rows in all\)"),
    ],
)
def test_empty_corpus_or_split_raises_clear_error(tmp_path, text, options, told):
    (tmp_path / "rows.txt").write_text(text)
    with pytest.raises(UserError, match=told):
        prepare(tmp_path, tmp_path / "rows.txt", **options)


def test_long_texts_are_cut_between_words_and_line_ends_normalized(tmp_path):
    rows = [{"text": f"{text}\r\n{text}"} for text in sentences(200)]
    texts = all_texts(
        prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), max_characters=50, long_texts="cut")
    )["train"]
    words = {word for text in sentences(200) for word in text.split()}
    assert max(map(len, texts)) <= 50
    assert all(word in words for text in texts for word in text.split())
    whole = all_texts(prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows)))["train"]
    assert all("\n" in text and "\r" not in text for text in whole)


def test_labels_over_the_limit_are_removed_and_texts_stay(tmp_path):
    source = write_jsonl(tmp_path / "rows.jsonl", rows_of(600))
    corpus = Corpus(prepare(tmp_path, source, **LABELLED, max_rows_per_label=100))
    assert corpus.info["unlabelled_over_limit"] == 300
    assert sum(map(corpus.count, SPLITS)) == 600
    by_label = corpus.info["rows_by_label"]
    assert {label: sum(by_label[split][label] for split in SPLITS) for label in "abc"} == dict.fromkeys("abc", 100)
    last = max(int(row["group"][1:]) for split in SPLITS for row in corpus.rows(split) if row["label"])
    assert last > 110  # taken evenly from the first to the last of 120 groups


def test_max_rows_limits_rows_and_length_counts(tmp_path):
    corpus = Corpus(prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows_of(500)), max_rows=200))
    assert sum(map(corpus.count, SPLITS)) == 200
    assert sum(count for _, _, count in corpus.info["lengths"]) == 200


def test_small_docs_corpus_contains_no_library_names(tmp_path):
    corpus = Corpus(prepare(tmp_path, "docs", libraries="fsspec,networkx,click", min_characters=60))
    assert corpus.labels == ["fsspec", "networkx"]
    assert corpus.info["leak_check"] == {
        "rows": sum(map(corpus.count, SPLITS)),
        "duplicates_across_splits": 0,
        "rows_that_name_a_library": 0,
    }
    assert {part["name"] for part in corpus.info["parts"]} == {"click", "fsspec", "networkx"}
    assert all(part["version"] and part["license"] for part in corpus.info["parts"])
    groups = [{row["group"] for row in corpus.rows(split)} for split in SPLITS]
    assert not groups[0] & groups[2]


@pytest.mark.parametrize(
    "options",
    [
        {"validation_share": 0.45, "test_share": 0.45},
        {"test_share": 0},
        {"min_characters": 100, "max_characters": 50},
        {"near_duplicate_threshold": 1.1},
        {"sauce": "docs"},
    ],
)
def test_a_wrong_config_is_refused(options):
    with pytest.raises(ValidationError):
        Config(**options)


def test_dependencies_list_source_files_and_packages(tmp_path):
    source = write_jsonl(tmp_path / "rows.jsonl", [])
    assert dependencies.files(Config(source=str(tmp_path / "*.jsonl"))) == [source]
    assert dependencies.files(Config(source=f"hf:{tmp_path}")) == [source]
    assert dependencies.files(Config()) == dependencies.files(Config(source="hf:imdb")) == []
    assert "numpy" in dependencies.packages(Config())
    assert dependencies.packages(Config(source=str(source))) == []
    with pytest.raises(UserError, match="no such file"):
        dependencies.files(Config(source=str(tmp_path / "*.csv")))


def test_rerun_after_kill_gives_the_same_digest(tmp_path):
    """SIGKILL while reading leaves no artifact, and what it left does not disturb the run after it."""
    source = write_jsonl(tmp_path / "rows.jsonl", rows_of(20_000))
    script = f"from tests.prepared import prepare\nprepare(__import__('pathlib').Path({str(tmp_path / 'home')!r}), {str(source)!r})"
    undisturbed = prepare(tmp_path / "other", source)
    for left in ("rows.parquet", "index/whole"):
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, start_new_session=True)
        file = tmp_path / "home" / "work" / "corpus" / "preparation" / left
        while not file.exists():
            assert process.poll() is None
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "home" / "artifacts").exists()
        file.parent.mkdir(exist_ok=True, parents=True)
    assert prepare(tmp_path / "home", source).digest == undisturbed.digest
