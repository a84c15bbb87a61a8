"""Columns: all that are missing in one error, judged over the file where rows differ; nested ones by dots; none twice."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts.errors import UserError
from pipelines.__main__ import main
from steps.prepare_data import dependencies
from steps.prepare_data.columns import ABSENT, Columns, value_at
from steps.prepare_data.config import Config
from steps.prepare_data.files import read
from steps.prepare_data.json_lines import _LOOKED_AT
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.source_choice import source_of
from tests.prepared import prepare, sentences, write_jsonl

LABELLED = Columns("text", "label")


def csv_file(path, header="text,label", rows=3):
    width = header.count(",")
    path.write_text(header + "\n" + "".join(f"row {n}{',a' * width}\n" for n in range(rows)))
    return path


def test_one_error_lists_missing_columns_of_all_files(tmp_path):
    csv_file(tmp_path / "a.csv", "text,kind")
    csv_file(tmp_path / "b.csv", "text,kind")
    csv_file(tmp_path / "c.csv", "text,label,page")
    write_jsonl(tmp_path / "d.jsonl", [{"body": "x"}])
    pq.write_table(pa.table({"text": ["x"], "label": ["a"]}), tmp_path / "e.parquet")
    paths = [tmp_path / name for name in ("a.csv", "b.csv", "c.csv", "d.jsonl", "e.parquet")]
    with pytest.raises(UserError) as error:
        list(read(paths, Columns("text", "label", "page")))
    assert str(error.value).replace(f"{tmp_path}/", "") == (
        "a.csv, b.csv: no columns 'label' (label_column), 'page' (group_column); it has text, kind; "
        "d.jsonl: no columns 'text' (text_column), 'label' (label_column), 'page' (group_column); it has body; "
        "e.parquet: no column 'page' (group_column); it has text, label"
    )


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_plan_names_the_missing_columns(tmp_path, capsys, monkeypatch, ending):
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path / "home"))
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"body": ["x"], "kind": ["a"]}), path)
    elif ending == "jsonl":
        write_jsonl(path, [{"body": "x", "kind": "a"}])
    else:
        content = "body\tkind\n" if ending == "tsv" else "body,kind\n"
        path.write_bytes(__import__("gzip").compress(content.encode()) if ending.endswith("gz") else content.encode())
    code = main(["plan", "classify", "--set", f"prepare_data.source={path}", "--set", "prepare_data.group_column=page"])
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert (
        "no columns 'text' (text_column), 'label' (label_column), 'page' (group_column); it has body, kind" in lines[0]
    )


@pytest.mark.parametrize(
    "header", ["text,label,text", "text,label,label", "label,text, label ", "text,label,other,other"]
)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_duplicate_column_in_header_is_rejected(tmp_path, header, ending):
    path = tmp_path / f"rows.{ending}"
    path.write_text(
        (header + "\n" + ",".join("abcd"[: header.count(",") + 1]) + "\n").replace(
            ",", "\t" if ending == "tsv" else ","
        )
    )
    with pytest.raises(UserError, match=rf"rows\.{ending}: column '\w+' twice in its header"):
        list(read([path], LABELLED))


def test_duplicate_parquet_column_is_rejected(tmp_path):
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["a"]), pa.array(["b"])], ["text", "label", "label"])
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"rows\.parquet: column 'label' twice"):
        list(read([tmp_path / "rows.parquet"], LABELLED))


def test_unnamed_columns_do_not_count_as_duplicates(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label,,\none,a,,\n")
    assert [(item.text, item.label) for item in read([path], LABELLED)] == [("one", "a")]


@pytest.mark.parametrize(
    "object_", ['{"text": "x", "label": "a", "label": "b"}', '{"label": "a", "text": "x", "text": "x"}']
)
def test_duplicate_key_in_json_row_is_rejected(tmp_path, object_):
    path = tmp_path / "rows.jsonl"
    # Elsewhere it does no harm
    path.write_text('{"text": "x", "label": "a", "more": {"a": 1, "a": 2}}\n' + object_ + "\n")
    with pytest.raises(UserError, match=r"rows\.jsonl:2: key '(text|label)' twice in one object"):
        list(read([path], LABELLED))


def test_jsonl_columns_are_collected_over_the_whole_file(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": "first"}, {"text": "x", "label": "a"}, {"other": 1}])
    found = list(read([path], LABELLED))
    assert [(item.text, item.label) for item in found if isinstance(item, Row)] == [("first", None), ("x", "a")]
    assert [(item.place, item.reason) for item in found if isinstance(item, Bad)] == [("rows.jsonl:3", "no text")]


def test_column_missing_from_all_rows_of_large_files_is_an_error(tmp_path):
    count = _LOOKED_AT // 10_000 + 1
    rows = [{"text": "x" * 10_000, "Label": "a", "meta": {"id": number}} for number in range(count)]
    path, other = write_jsonl(tmp_path / "a.jsonl", rows), write_jsonl(tmp_path / "b.jsonl", rows)
    dependencies.check(Config(source=str(path), label_column="label"))  # a quick look cannot know
    with pytest.raises(
        UserError,
        match=r"a\.jsonl, \S+b\.jsonl: no column 'label' \(label_column\); it has text, Label, meta, meta\.id",
    ):
        list(read([path, other], LABELLED))


class Observe:
    """Keeps the log lines."""

    def __init__(self):
        from telemetry import Observe as Real

        self._real, self.lines = Real.silent(), []

    def log(self, event, message, level="info", **fields):
        self.lines.append((event, level, message))

    def __getattr__(self, name):
        return getattr(self._real, name)


def logged(monkeypatch, *arguments, **options):
    observe = Observe()
    monkeypatch.setattr("tests.prepared.Observe", type("Silent", (), {"silent": staticmethod(lambda: observe)}))
    made = prepare(*arguments, **options)
    return json.loads(made.file("corpus.json").read_text()), [
        line for line in observe.lines if line[0] == "corpus.absent"
    ]


def test_rows_without_label_column_are_counted_and_reported_once(tmp_path, monkeypatch):
    rows = [{"text": text, "label" if n < 150 else "Label": "ab"[n % 2]} for n, text in enumerate(sentences(300))]
    info, lines = logged(monkeypatch, tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), label_column="label")
    assert lines == [
        (
            "corpus.absent",
            "warning",
            "'label' (label_column) missing in 150 of 300 rows, the first at rows.jsonl:151; it has text, Label",
        )
    ]
    assert info["rows_without"] == {"label_column": {"count": 150, "first": "rows.jsonl:151"}}
    assert sum(map(sum, (counts.values() for counts in info["rows_by_label"].values()))) == 150


def test_null_labels_are_not_reported_as_missing(tmp_path, monkeypatch):
    rows = [{"text": text, "label": "ab"[n % 2] if n % 3 else None} for n, text in enumerate(sentences(300))]
    info, lines = logged(monkeypatch, tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), label_column="label")
    assert not lines
    assert "rows_without" not in info


def test_missing_labels_are_reported_when_max_rows_stops_reading(tmp_path, monkeypatch):
    rows = [{"text": text, **({"label": "ab"[n % 2]} if n % 5 else {})} for n, text in enumerate(sentences(300))]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    _, lines = logged(monkeypatch, tmp_path, path, label_column="label", max_rows=200)
    assert len(lines) == 1


def test_missing_labels_are_counted_over_sources_of_two_splits(tmp_path):
    for split, every in (("train", 4), ("test", 5)):
        rows = [{"text": f"{split} {n}", **({"label": "a"} if n % every else {})} for n in range(20)]
        write_jsonl(tmp_path / split / "rows.jsonl", rows)
    config = Config(train=f"{tmp_path}/train/*", test=f"{tmp_path}/test/*", label_column="label")
    source = source_of(config)
    assert len(list(source.rows(config, Observe()))) == 40
    assert source.origin(config)["rows_without"] == {"label_column": {"count": 9, "first": "test/rows.jsonl:1"}}


def test_value_at_finds_nested_and_literal_columns():
    row = {
        "translation": {"en": "a", "de": None},
        "translation.fr": "literal",
        "x": {"y": {"z": 1}},
        "translation.en.x": 0,
    }
    assert value_at(row, "translation.en") == "a"
    assert value_at(row, "translation.de") is None
    assert value_at(row, "translation.fr") == "literal"
    assert value_at(row, "x.y.z") == 1
    assert value_at(row, "translation.es") is value_at(row, "x.y.z.a") is value_at(row, "nosuch") is ABSENT
    assert value_at({"a.b": "literal", "a": {"b": "nested"}}, "a.b") == "literal"


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_nested_columns_are_read_from_files(tmp_path, ending):
    rows = [
        {"translation": {"en": f"one {n}", "de": f"eins {n}"}, "meta": {"kind": {"name": "ab"[n % 2]}}}
        for n in range(5)
    ]
    path = tmp_path / f"rows.{ending}"
    write_jsonl(path, rows) if ending == "jsonl" else pq.write_table(pa.Table.from_pylist(rows), path)
    columns = Columns("translation.en", "meta.kind.name", target="translation.de")
    assert [(item.text, item.target, item.label) for item in read([path], columns)] == [
        (f"one {n}", f"eins {n}", "ab"[n % 2]) for n in range(5)
    ]
    with pytest.raises(UserError, match=r"no column 'translation\.fr' .*translation\.en, translation\.de"):
        list(read([path], Columns("translation.fr")))


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_column_named_with_dot_takes_precedence_over_nested_one(tmp_path, ending):
    rows = [{"a.b": "literal", "a": {"b": "nested"}}]
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        path.write_text("a.b,a\nliteral,nested\n")
    else:
        write_jsonl(path, rows) if ending == "jsonl" else pq.write_table(pa.Table.from_pylist(rows), path)
    assert [item.text for item in read([path], Columns("a.b"))] == ["literal"]
