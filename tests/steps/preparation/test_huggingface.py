"""`hf:` reads a data set folder without network; what is wrong with it is told in one line."""

import datasets
import pytest

from steps.contract import UserError
from steps.preparation.columns import Columns
from steps.preparation.huggingface import DataSet
from steps.preparation.reading import Reading
from steps.preparation.rows import Bad, Row


def read(name, config, split, columns):
    data = DataSet(name, config)
    for chosen in data.chosen(split):
        yield from data.rows(chosen, Reading(columns))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    features = datasets.Features({"body": datasets.Value("string"), "kind": datasets.ClassLabel(names=["cat", "dog"])})
    data = datasets.Dataset.from_dict({"body": ["one", "two", None, "four"], "kind": [0, 1, 1, -1]}, features=features)
    (tmp_path / "animals").mkdir()
    data.to_parquet(str(tmp_path / "animals" / "train.parquet"))
    return tmp_path / "animals"


def test_rows_with_the_names_of_their_labels(folder):
    items = list(read(str(folder), "", "train", Columns("body", "kind")))
    assert [item for item in items if isinstance(item, Row)] == [
        Row("hf:animals/train:1", "one", "cat"), Row("hf:animals/train:2", "two", "dog"), Row("hf:animals/train:4", "four", None),
    ]  # fmt: skip
    assert [item for item in items if isinstance(item, Bad)] == [
        Bad("no text", "hf:animals/train:3", '{"body": null, "kind": "dog"}')
    ]


@pytest.mark.parametrize(
    ("config", "split", "columns", "told"),
    [
        ("", "train", Columns("text"), r"no column 'text' \(text_column\); it has body, kind"),
        ("", "nosuch", Columns("body"), "hf_split"),
        ("other", "train", Columns("body"), "hf_config"),
    ],
)
def test_what_is_wrong_is_told(folder, config, split, columns, told):
    with pytest.raises(UserError, match=told):
        list(read(str(folder), config, split, columns))


def test_a_folder_that_is_not_there(tmp_path, folder):
    with pytest.raises(UserError, match=r"nosuch.*check its name"):
        list(read(str(tmp_path / "nosuch"), "", "train", Columns("text")))
