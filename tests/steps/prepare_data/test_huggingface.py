"""`hf:` reads a data set folder without network; what is wrong with it is told in one line."""

import gzip
import json

import datasets
import pytest

from artifacts.errors import UserError
from steps.prepare_data.columns import Columns
from steps.prepare_data.config import Config
from steps.prepare_data.huggingface import DataSet
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.source_choice import source_of
from telemetry import Observe


def read(name, config, split, columns):
    data = DataSet(name, config)
    for chosen in data.splits_to_read(split):
        yield from data.rows(chosen, Reading(columns))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    features = datasets.Features({"body": datasets.Value("string"), "kind": datasets.ClassLabel(names=["cat", "dog"])})
    data = datasets.Dataset.from_dict({"body": ["one", "two", None, "four"], "kind": [0, 1, 1, -1]}, features=features)
    (tmp_path / "animals").mkdir()
    data.to_parquet(str(tmp_path / "animals" / "train.parquet"))
    return tmp_path / "animals"


def test_class_ids_are_read_as_label_names(folder):
    items = list(read(str(folder), "", "train", Columns("body", "kind")))
    assert [item for item in items if isinstance(item, Row)] == [
        Row("hf:animals/train:1", "one", "cat"),
        Row("hf:animals/train:2", "two", "dog"),
        Row("hf:animals/train:4", "four", None),
    ]
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
def test_error_names_wrong_column_split_or_config(folder, config, split, columns, told):
    with pytest.raises(UserError, match=told):
        list(read(str(folder), config, split, columns))


def test_missing_data_set_folder_raises_clear_error(tmp_path, folder):
    with pytest.raises(UserError, match=r"nosuch.*check its name"):
        list(read(str(tmp_path / "nosuch"), "", "train", Columns("text")))


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


LABELS = ["007", "NA", "None", "nan", "1.0", "true", "2020-01-02", "1e5", "null", "N/A", "-1", "0x1F"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "csv.gz"])
def test_labels_of_text_files_are_read_unchanged(tmp_path, offline, ending):
    between = "\t" if ending == "tsv" else ","
    if ending.startswith("json"):
        content = "".join(json.dumps({"text": f"row {n}", "label": label}) + "\n" for n, label in enumerate(LABELS))
    else:
        content = f"text{between}label\n" + "".join(f"row {n}{between}{label}\n" for n, label in enumerate(LABELS))
    data = content.encode()
    (tmp_path / f"train.{ending}").write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    items = list(read(str(tmp_path), "", "", Columns("text", "label")))
    assert [item.label for item in items] == LABELS
    assert items[0].id.startswith(f"{tmp_path.name}/train.{ending}:")


def test_dates_of_json_lines_stay_text(tmp_path, offline):
    """The library makes them times if all values of a column are dates."""
    dates = [f"2026-01-0{day}" for day in range(1, 6)]
    (tmp_path / "train.json").write_text("".join(json.dumps({"text": "x", "label": date}) + "\n" for date in dates))
    assert [item.label for item in read(str(tmp_path), "", "", Columns("text", "label"))] == dates


@pytest.mark.parametrize("indent", [None, 1])
def test_labels_of_json_array_are_read_unchanged(tmp_path, offline, indent):
    rows = [{"text": f"row {n}", "label": label} for n, label in enumerate(LABELS)]
    (tmp_path / "train.json").write_text(json.dumps(rows, indent=indent))
    assert [item.label for item in read(str(tmp_path), "", "", Columns("text", "label"))] == LABELS


def test_csv_labels_read_by_datasets_library_are_unchanged(tmp_path, offline):
    """A folder with options of its own (`sep`) is not read by our reader; neither is a data set of the hub."""
    (tmp_path / "train.csv").write_text(
        "text;label\n" + "".join(f"row {n};{label}\n" for n, label in enumerate(LABELS))
    )
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: train.csv\n  sep: ';'\n---\n"
    )
    assert [item.label for item in read(str(tmp_path), "", "", Columns("text", "label"))] == LABELS


def test_only_the_broken_record_of_a_csv_folder_is_set_aside(tmp_path, offline):
    lines = [f"row number {n},{'ab'[n % 2]}" for n in range(100)]
    lines[40] = f'"{lines[40]}'
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    items = list(read(str(tmp_path), "", "", Columns("text", "label")))
    assert [type(item) for item in items].count(Row) == 99
    assert [item.place for item in items if isinstance(item, Bad)] == [f"{tmp_path.name}/train.csv:42"]


def test_nested_columns_and_class_names_are_read(tmp_path, offline):
    names = datasets.ClassLabel(names=["cat", "dog"])
    features = datasets.Features({"pair": {"en": datasets.Value("string"), "kind": names}})
    data = datasets.Dataset.from_dict(
        {"pair": [{"en": f"row {n}", "kind": n % 3 - 1} for n in range(6)]}, features=features
    )
    data.to_parquet(str(tmp_path / "train.parquet"))
    items = list(read(str(tmp_path), "", "", Columns("pair.en", "pair.kind")))
    assert [(item.text, item.label) for item in items] == [(f"row {n}", [None, "cat", "dog"][n % 3]) for n in range(6)]


def test_several_classes_per_row_error_names_the_row(tmp_path, offline):
    names = datasets.ClassLabel(names=["cat", "dog"])
    features = datasets.Features({"text": datasets.Value("string"), "kinds": datasets.Sequence(names)})
    data = datasets.Dataset.from_dict({"text": ["a", "b"], "kinds": [[0], [0, 1]]}, features=features)
    data.to_parquet(str(tmp_path / "train.parquet"))
    with pytest.raises(UserError, match=r"hf:.*/train:1: label_column 'kinds' holds a list, not one value"):
        list(read(str(tmp_path), "", "", Columns("text", "kinds")))


def test_float_labels_that_are_all_whole_become_integers(tmp_path, offline):
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1.0, None, 2.0]})
    data.to_parquet(str(tmp_path / "train.parquet"))
    source = Config(source=f"hf:{tmp_path}", label_column="label")
    rows = source_of(source).rows(source, Observe.silent())
    assert [row.label for row in rows] == ["1", None, "2"]


@pytest.mark.parametrize("content", [b"this is no Parquet", b""])
def test_damaged_file_of_a_folder_is_an_error(tmp_path, offline, content):
    (tmp_path / "train.parquet").write_bytes(content)
    with pytest.raises(UserError, match="source hf:"):
        list(read(str(tmp_path), "", "", Columns("text")))


@pytest.mark.parametrize("target", ["../outside.jsonl", "/etc/passwd"])
def test_links_out_of_a_local_folder_are_not_read(tmp_path, target, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (tmp_path / "outside.jsonl").write_text('{"body": "of somebody else"}\n')
    (tmp_path / "animals").mkdir()
    (tmp_path / "animals" / "train.jsonl").symlink_to(target)
    with pytest.raises(UserError, match=r"animals: 'train\.jsonl' is a link that leads out of its folder; copy"):
        DataSet(str(tmp_path / "animals"), "")
    (tmp_path / "animals" / "train.jsonl").unlink()
    (tmp_path / "animals" / "real.jsonl").write_text('{"body": "ours"}\n')
    (tmp_path / "animals" / "train.jsonl").symlink_to("real.jsonl")
    assert DataSet(str(tmp_path / "animals"), "").splits == ["train"]


def test_readme_naming_a_data_file_outside_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (tmp_path / "outside.jsonl").write_text('{"body": "of somebody else"}\n')
    (tmp_path / "animals").mkdir()
    for named in ("../outside.jsonl", str(tmp_path / "outside.jsonl")):
        readme = f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {named}\n---\n"
        (tmp_path / "animals" / "README.md").write_text(readme)
        with pytest.raises(UserError, match=r"outside\.jsonl"):
            DataSet(str(tmp_path / "animals"), "")
