"""Labels, groups and texts: a missing one is none, one of another kind an error that names the row."""

import datetime
import decimal
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts.errors import UserError
from steps.prepare_data.columns import Columns
from steps.prepare_data.files import read
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.values import row_of
from tests.prepared import prepare, sentences

COLUMNS = Columns("text", "label", "group")


def jsonl(tmp_path, *values, key="label", name="rows.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps({"text": f"row {n}", key: value}) + "\n" for n, value in enumerate(values)))
    return path


def parquet(tmp_path, values, kind=None, name="rows.parquet"):
    path = tmp_path / name
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
    pq.write_table(pa.table({"text": [f"row {n}" for n in range(len(column))], "label": column}), path)
    return path


def labels(*paths):
    found = list(read(list(paths), Columns("text", "label")))
    assert all(isinstance(item, Row) for item in found), found
    return [item.label for item in found]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (float("nan"), None), (None, None), (pd.NA, None), (pd.NaT, None), (decimal.Decimal("NaN"), None), ("", None), (" \t", None),
        ("spam ", "spam"), ("\N{NO-BREAK SPACE}spam\n", "spam"), ("nan", "nan"), ("None", "None"), ("007", "007"), ("Spam", "Spam"),
        (True, "true"), (False, "false"), (0, "0"), (-1, "-1"), (10**30, str(10**30)), (1.5, "1.5"), (float("inf"), "inf"),
        (decimal.Decimal("1.50"), "1.50"), (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"), (datetime.timedelta(hours=1), "1:00:00"),
    ],
)  # fmt: skip
def test_label_and_group_values_are_converted_to_text(value, label):
    row = row_of({"text": "x", "label": value, "group": value}, COLUMNS, "rows:1")
    assert row == Row("rows:1", "x", label, label)


@pytest.mark.parametrize("value", [["a"], [], {}, {"name": "a"}, b"a", ("a",), bytearray(b"a"), object()])
@pytest.mark.parametrize("column", ["label", "group", "text", "target"])
def test_error_for_list_object_or_bytes_names_row_and_column(column, value):
    if type(value) is object and column in ("text", "target"):
        return  # a value that is no text: the row is bad
    columns = Columns("text", "label", "group", "target")
    values = {"text": "x", "label": "a", "group": "b", "target": "y", column: value}
    with pytest.raises(UserError, match=rf"^rows\.jsonl:7: {column}_column '{column}' holds "):
        row_of(values, columns, "rows.jsonl:7")


@pytest.mark.parametrize("value", [None, 3, 1.5, float("nan"), True, pd.NA])
def test_missing_and_numeric_texts_are_bad_rows(value):
    assert row_of({"text": value}, Columns("text"), "rows:1").reason == "no text"
    assert row_of({"text": "x", "y": value}, Columns("text", target="y"), "rows:1").reason == "no target"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1.0, None, 2.0], ["1", None, "2"]),
        ([1, 2.0, 3], ["1", "2", "3"]),
        ([-0.0, 1e3, float("nan")], ["0", "1000", None]),
        ([1.0, 2.5, None], ["1.0", "2.5", None]),
        ([2.5, 1.0], ["2.5", "1.0"]),
        (["1.0", 1.0], ["1.0", "1"]),
        ([True, 1.0], ["true", "1"]),
        ([1.0, float("inf")], ["1.0", "inf"]),
    ],
)
def test_float_labels_that_are_all_whole_become_integers(tmp_path, values, wanted):
    assert labels(jsonl(tmp_path, *values)) == wanted
    if all(isinstance(value, float | None) for value in values):
        assert labels(parquet(tmp_path, values, pa.float64())) == wanted


def test_whole_number_check_covers_all_files_of_a_source(tmp_path):
    """Else 2.0 of one file would be another class than 2.0 of the next."""
    first = jsonl(tmp_path, 1.0, 2.0, name="a.jsonl")
    assert labels(first) == ["1", "2"]
    assert labels(first, parquet(tmp_path, [2.0, 2.5], pa.float32(), "b.parquet")) == ["1.0", "2.0", "2.0", "2.5"]


def test_pandas_integer_labels_with_missing_values_are_read(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": [1, None, 3]})
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    assert labels(tmp_path / "rows.parquet") == labels(tmp_path / "rows.jsonl") == ["1", None, "3"]
    frame.astype({"label": "Int64"}).to_parquet(tmp_path / "rows.parquet")
    assert labels(tmp_path / "rows.parquet") == ["1", None, "3"]


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", None]),
        (pa.array(["a", " b", ""], pa.large_string()), ["a", "b", None]),
        (pa.array([True, None, False]), ["true", None, "false"]),
        (pa.array([1, 2, 3], pa.int8()), ["1", "2", "3"]),
        (pa.array([decimal.Decimal("1.5"), None, decimal.Decimal("2")], pa.decimal128(5, 2)), ["1.50", None, "2.00"]),
        (pa.array([0, None, 86400], pa.timestamp("s")), ["1970-01-01T00:00:00", None, "1970-01-02T00:00:00"]),
        (pa.array([0, 1, None], pa.date32()), ["1970-01-01", "1970-01-02", None]),
        (pa.nulls(3), [None, None, None]),
    ],
)
def test_parquet_column_types_are_converted_to_labels(tmp_path, column, wanted):
    assert labels(parquet(tmp_path, column)) == wanted


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"a", b"b"]),
        pa.array([["a"], ["b"]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
    ],
)
def test_parquet_types_unusable_as_labels_are_rejected(tmp_path, column):
    with pytest.raises(UserError, match=r"rows\.parquet:1: label_column 'label' holds"):
        labels(parquet(tmp_path, column))


def test_parquet_with_binary_text_is_an_error(tmp_path):
    pq.write_table(pa.table({"text": [b"one", b"two"]}), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"rows\.parquet:1: text_column 'text' holds bytes, not text"):
        list(read([tmp_path / "rows.parquet"], Columns("text")))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("encoded", [False, True])
def test_parquet_values_that_are_not_utf8_are_bad_rows(tmp_path, nested, encoded):
    texts = pa.array([b"one", b"t\xffo", b"three", b"one"] * 600, pa.binary()).view(pa.string())
    texts = texts.dictionary_encode() if encoded else texts
    column = pa.StructArray.from_arrays([texts], ["en"]) if nested else texts
    pq.write_table(pa.table({"text": column}), tmp_path / "rows.parquet")
    found = list(read([tmp_path / "rows.parquet"], Columns("text.en" if nested else "text")))
    assert [item.text for item in found if isinstance(item, Row)] == ["one", "three", "one"] * 600
    assert [item.place for item in found if isinstance(item, Bad)] == [f"rows.parquet:{4 * n + 2}" for n in range(600)]
    assert {item.reason for item in found if isinstance(item, Bad)} == {"not UTF-8"}


def test_timestamps_out_of_range_are_bad_rows(tmp_path):
    path = parquet(tmp_path, pa.array([0, 2**60], pa.timestamp("ms")))
    assert [item.reason for item in read([path], Columns("text", "label")) if isinstance(item, Bad)] == [
        "a value that cannot be read"
    ]


def test_label_with_lone_surrogate_is_set_aside(tmp_path):
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(sentences(200))]
    rows[7]["label"] = "\ud83d"
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = prepare(tmp_path, path, label_column="label", allowed_bad_share=0.01)
    assert pq.read_table(made.file("quarantine.parquet")).to_pylist()[0]["reason"] == "not Unicode"


def test_labels_differing_only_in_spaces_are_one_class(tmp_path):
    forms = ["spam", "spam ", " spam", "spam\N{NO-BREAK SPACE}", "ham", "ham\t"]
    rows = [{"text": text, "label": forms[n % 6]} for n, text in enumerate(sentences(300))]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = prepare(tmp_path, path, label_column="label")
    assert json.loads(made.file("corpus.json").read_text())["labels"] == ["ham", "spam"]
