"""A Corpus streams its rows and keeps their order."""

import pytest

from artifacts import ArtifactError
from artifacts.corpus import SPLITS, Corpus
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


def test_take_gives_texts_by_id(corpus):
    wanted = list(corpus.rows("test"))[3:6]
    assert corpus.take("test", [row["id"] for row in wanted]) == {row["id"]: row["text"] for row in wanted}
    assert corpus.take("train", [wanted[0]["id"], "nosuch"]) == {}


def test_another_kind_is_refused(corpus):
    from artifacts import Artifact

    other = Artifact(corpus.artifact.path, {**corpus.artifact.manifest, "kind": "report"})
    with pytest.raises(ArtifactError, match="a report, where a corpus is needed"):
        Corpus(other)
