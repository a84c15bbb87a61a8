"""A Corpus streams its rows and keeps their order."""

import random

import pyarrow as pa
import pytest

from artifacts import Artifact, ArtifactError, atomic
from artifacts.corpus import SPLITS, Corpus
from steps.prepare_data.rows import Row
from steps.prepare_data.writing import Writer, columns_of
from tests.prepared import prepare, sentences, write_jsonl


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    rows = [{"text": text, "kind": "ab"[n % 2]} for n, text in enumerate(sentences(400))]
    return Corpus(prepare(root, write_jsonl(root / "rows.jsonl", rows), label_column="kind", license="CC0"))


def test_counts_labels_and_rows_agree(corpus):
    assert corpus.labels == ["a", "b"]
    assert corpus.info["license"] == "CC0"
    for split in SPLITS:
        rows = list(corpus.rows(split))
        assert corpus.count(split) == len(rows) == len(list(corpus.texts(split)))
        assert set(rows[0]) == {"id", "text", "label", "group"}
    assert sum(map(corpus.count, SPLITS)) == 400


def test_batches_are_bounded_and_in_order(corpus):
    batches = list(corpus.batches("train", ["text"], rows=10))
    assert max(batch.num_rows for batch in batches) == 10
    assert [text for batch in batches for text in batch.column("text").to_pylist()] == list(corpus.texts("train"))
    places = [int(row["id"].split(":")[1]) for row in corpus.rows("train", ["id"])]
    assert places == sorted(places)


def test_text_rows_include_targets_of_pairs(tmp_path, corpus):
    assert list(corpus.text_rows("test")) == [(text,) for text in corpus.texts("test")]
    rows = [{"text": text, "target": text.upper()} for text in sentences(60)]
    pairs = prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), target_column="target", test_share=0.3)
    assert list(Corpus(pairs).text_rows("test")) == [(text, text.upper()) for text in Corpus(pairs).texts("test")]


def test_corpus_subset_keeps_row_order(corpus):
    everything = list(corpus.rows("train"))
    wanted = [everything[place] for place in (70, 3, 5, 71)]
    some = corpus.only([row["id"] for row in wanted] + ["not there"])
    assert list(some.rows("train")) == [everything[place] for place in (3, 5, 70, 71)]
    assert list(some.texts("train")) == [everything[place]["text"] for place in (3, 5, 70, 71)]
    assert [row.keys() for row in some.rows("train", ["label", "id"])] == [{"label", "id"}] * 4
    assert list(corpus.only([]).rows("train")) == []


def test_reading_batches_does_not_load_whole_file(tmp_path):
    with Writer(tmp_path / "train.parquet", columns_of("text")) as writer:
        for number in range(12_000):
            writer.add(Row(f"{number}", random.Random(number).randbytes(1000).hex()))
    atomic.write_json(tmp_path / "corpus.json", {"labels": [], "rows": {"train": 12_000}})
    corpus = Corpus(Artifact(tmp_path, {"kind": "corpus", "files": ["train.parquet", "corpus.json"]}))
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in corpus.batches("train")]
    assert max(held) < 9e6 < 11e6 < (tmp_path / "train.parquet").stat().st_size


def test_take_returns_texts_by_id(corpus):
    wanted = list(corpus.rows("test"))[3:6]
    assert corpus.take("test", [row["id"] for row in wanted]) == {row["id"]: row["text"] for row in wanted}
    assert corpus.take("train", [wanted[0]["id"], "nosuch"]) == {}


def test_corpus_rejects_artifact_of_another_kind(corpus):
    other = Artifact(corpus.artifact.path, {**corpus.artifact.manifest, "kind": "report"})
    with pytest.raises(ArtifactError, match="a report, where a corpus is needed"):
        Corpus(other)
