"""Splits that the data brings, by column, source or data set, are those of its rows; none is made up by a reader."""

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from artifacts.corpus import SPLITS
from artifacts.errors import UserError
from artifacts.images import png
from steps.prepare_data import dependencies
from steps.prepare_data.config import Config
from steps.prepare_data.given_splits import given_split
from steps.prepare_data.rows import Row
from steps.prepare_data.source_choice import source_of
from telemetry import Observe
from tests.prepared import write_jsonl


def rows_of(config: Config) -> list[Row]:
    return [item for item in source_of(config).rows(config, Observe.silent()) if isinstance(item, Row)]


def splits_of(config: Config) -> dict[str | None, set[str]]:
    """Texts by the split that the reader says."""
    found: dict[str | None, set[str]] = {}
    for row in rows_of(config):
        found.setdefault(row.split, set()).add(row.text)
    return found


def numbered(name: str, count: int) -> list[dict[str, object]]:
    return [{"text": f"{name} {number}", "label": "ab"[number % 2], "part": name} for number in range(count)]


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("VALID", "validation"), ("val", "validation"), ("dev", "validation"),
     ("validation", "validation"), (" Test ", "test"), ("testing", "test"), ("held out", None), ("", None), ("unsupervised", None)],
)  # fmt: skip
def test_split_names_and_aliases_are_recognized(name, split):
    assert given_split(name) == split


def test_split_column_assigns_rows_to_all_splits(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", numbered("Test", 20) + numbered("dev", 10) + numbered("TRAIN", 100))
    found = splits_of(Config(source=str(path), split_column="part"))
    assert {split: len(texts) for split, texts in found.items()} == {"test": 20, "validation": 10, "train": 100}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_split_column_is_read_from_csv_tsv_and_parquet(tmp_path, ending):
    rows = numbered("Train", 20) + numbered("TEST ", 5)
    path = tmp_path / f"rows.{ending}"
    between = "\t" if ending == "tsv" else ","
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(
            "".join(f"{row['text']}{between}{row['part']}\n" for row in [{"text": "text", "part": "part"}, *rows])
        )
    found = splits_of(Config(source=str(path), split_column="part"))
    assert {split: len(texts) for split, texts in found.items()} == {"test": 5, "train": 20}


@pytest.mark.parametrize("value", ["held-out", "", None, 3, ["train"]])
def test_unknown_value_of_the_split_column_names_the_row(tmp_path, value):
    path = write_jsonl(tmp_path / "rows.jsonl", [*numbered("train", 5), {"text": "x", "part": value}])
    with pytest.raises(UserError, match=r"rows\.jsonl:6: split_column 'part' holds .*known: train, .*dev, .*test"):
        rows_of(Config(source=str(path), split_column="part"))


def test_each_split_can_have_its_own_source(tmp_path):
    given = {split: str(write_jsonl(tmp_path / split / "rows.jsonl", numbered(split, 30))) for split in SPLITS}
    config = Config(**given)
    assert splits_of(config) == {split: {f"{split} {n}" for n in range(30)} for split in SPLITS}
    assert len({row.id for row in rows_of(config)}) == 90
    assert rows_of(config)[0].id == "test/rows.jsonl:1"
    assert [str(path) for path in dependencies.files(config)] == list(given.values())
    assert (
        source_of(config).origin(config)["source"] == "rows.jsonl (train), rows.jsonl (validation), rows.jsonl (test)"
    )


def test_train_and_test_sources_set_the_splits(tmp_path):
    train, test = (str(write_jsonl(tmp_path / f"{name}.jsonl", numbered(name, 20))) for name in ("train", "test"))
    for config in (Config(train=train, test=test), Config(source=train, test=test)):
        assert splits_of(config) == {split: {f"{split} {n}" for n in range(20)} for split in ("train", "test")}


def test_train_alone_is_read_as_the_source(tmp_path):
    path = str(write_jsonl(tmp_path / "rows.jsonl", numbered("x", 30)))
    assert rows_of(Config(train=path)) == rows_of(Config(source=path))
    assert rows_of(Config(train=path, source="nosuch/*.csv")) == rows_of(Config(source=path))
    assert Config(train=path).source == path


def test_one_error_names_missing_columns_of_all_sources(tmp_path):
    train, test = (str(write_jsonl(tmp_path / f"{name}.jsonl", numbered(name, 3))) for name in ("train", "test"))
    with pytest.raises(UserError, match=r"train\.jsonl, \S+test\.jsonl: no column 'topic' \(label_column\)"):
        dependencies.check(Config(train=train, test=test, label_column="topic"))


def test_whole_number_check_covers_all_sources(tmp_path):
    train = write_jsonl(tmp_path / "train.jsonl", [{"text": "a", "label": 1.5}, {"text": "b", "label": 2.0}])
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": "c", "label": 2.0}])
    labels = [row.label for row in rows_of(Config(train=str(train), test=str(test), label_column="label"))]
    assert labels == ["2.0", "1.5", "2.0"]


def test_split_column_and_sources_for_splits_exclude_each_other():
    with pytest.raises(ValidationError, match="split_column and sources"):
        Config(source="a.csv", test="b.csv", split_column="part")


def test_images_and_texts_cannot_be_in_one_corpus(tmp_path):
    (tmp_path / "images").mkdir()
    config = Config(train=str(tmp_path / "images"), test=str(write_jsonl(tmp_path / "rows.jsonl", numbered("x", 3))))
    with pytest.raises(UserError, match="of several kinds: images, text"):
        source_of(config).content(config)


@pytest.fixture
def published(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")

    def write(*names: str) -> str:
        for name in names:
            rows = numbered(name, 30)
            datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "set" / f"{name}.parquet"))
        return f"hf:{tmp_path / 'set'}"

    return write


def test_data_set_with_a_test_split_keeps_its_splits(published):
    source = published("train", "validation", "test")
    assert splits_of(Config(source=source)) == {split: {f"{split} {n}" for n in range(30)} for split in SPLITS}


def test_split_aliases_of_data_set_are_mapped_and_others_ignored(published):
    found = splits_of(Config(source=published("train", "dev", "test", "unsupervised")))
    assert {split: len(texts) for split, texts in found.items()} == {"train": 30, "validation": 30, "test": 30}


@pytest.mark.parametrize("names", [("train",), ("train", "validation")])
def test_data_set_without_a_test_split_gives_only_its_train_rows(published, names):
    assert splits_of(Config(source=published(*names))) == {None: {f"train {n}" for n in range(30)}}


def test_hf_split_reads_only_the_named_split(published):
    source = published("train", "validation", "test")
    assert splits_of(Config(source=source, hf_split="test")) == {None: {f"test {n}" for n in range(30)}}
    with pytest.raises(UserError, match=r"no split 'dev'; hf_split can be train, validation, test"):
        splits_of(Config(source=source, hf_split="dev"))


def test_data_sets_can_be_sources_of_splits(published, tmp_path):
    source = published("train", "test")
    found = splits_of(
        Config(train=source, test=source, validation=str(write_jsonl(tmp_path / "v.jsonl", numbered("mine", 5))))
    )
    assert found["train"] == {f"train {n}" for n in range(30)}
    assert found["test"] == {f"test {n}" for n in range(30)}
    assert found["validation"] == {f"mine {n}" for n in range(5)}


def test_image_folders_can_be_sources_of_splits(tmp_path):
    given = {split: str(tmp_path / split) for split in SPLITS}
    for number, split in enumerate(SPLITS):
        for kind in ("cat", "dog"):
            (tmp_path / split / kind).mkdir(parents=True)
            picture = np.full((4, 4), 40 * number + (kind == "dog"), np.uint8)
            (tmp_path / split / kind / "1.png").write_bytes(png(picture))
    rows = rows_of(Config(**given))
    assert [(row.id, row.label, row.split) for row in rows] == [
        (f"{split}/{kind}/1.png", kind, split) for split in reversed(SPLITS) for kind in ("cat", "dog")
    ]
