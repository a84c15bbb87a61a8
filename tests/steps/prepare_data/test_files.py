"""Reading the user's files: every format and compression; what cannot be used is set aside with reason and place."""

import csv
import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from artifacts.errors import UserError
from steps.prepare_data.columns import Columns
from steps.prepare_data.files import matching, read
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row

ROWS = [("first text, with a comma", "x"), ('second "quoted"\ntext', "y"), ("dritter Text mit ü", "x")]
PLAIN, LABELLED = Columns("text"), Columns("text", "label")


def write(path: Path, rows=ROWS) -> Path:
    kind = path.name.split(".")[1]
    if kind == "parquet":
        pq.write_table(pa.table({"text": [t for t, _ in rows], "label": [name for _, name in rows]}), path)
        return path
    if kind == "jsonl":
        data = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows).encode()
    elif kind == "txt":
        data = "\n\n".join(text.replace("\n", " ") for text, _ in rows).encode()
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if kind == "tsv" else ",")
            writer.writerows([("text", "label"), *rows])
        data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


def bad_rows(path: Path, columns=PLAIN) -> list[Bad]:
    return [item for item in read([path], columns) if isinstance(item, Bad)]


def texts(path: Path, columns=PLAIN) -> list[str]:
    return [item.text for item in read([path], columns) if isinstance(item, Row)]


@pytest.mark.parametrize("ending", [a + b for a in ("csv", "tsv", "jsonl") for b in ("", ".gz", ".zst")] + ["parquet"])
def test_every_format_and_compression_gives_the_same_rows(tmp_path, ending):
    rows = list(read([write(tmp_path / f"rows.{ending}")], LABELLED, Reading(LABELLED, "csv")))
    assert [(row.text, row.label) for row in rows] == ROWS
    assert rows[0].id.startswith(f"rows.{ending}:")


@pytest.mark.parametrize("ending", ["txt", "txt.gz", "txt.zst"])
def test_text_file_has_one_row_per_line(tmp_path, ending):
    assert texts(write(tmp_path / f"rows.{ending}")) == [text.replace("\n", " ") for text, _ in ROWS]
    with pytest.raises(UserError, match=r"rows\.txt.*no columns.*'label'.*label_column"):
        list(read([tmp_path / f"rows.{ending}"], LABELLED))


def test_files_are_sorted_and_row_ids_do_not_depend_on_the_folder(tmp_path):
    for home in ("here", "there"):
        for name in ("b.txt", "a/c.txt"):
            path = tmp_path / home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text of {name}\n")
    ids = [
        [row.id for row in read(matching(str(tmp_path / home / "**/*.txt")), Columns("text"))]
        for home in ("here", "there")
    ]
    assert ids == [["a/c.txt:1", "b.txt:1"]] * 2


def test_a_file_with_brackets_in_its_name_is_found(tmp_path):
    path = tmp_path / "part[1].txt"
    path.write_text("a text\n")
    assert matching(str(path)) == [path]


@pytest.mark.parametrize(
    ("source", "told"), [("*.csv", "no such file.*docs.*hf:name"), ("notes.doc", "cannot read this kind.*jsonl")]
)
def test_empty_glob_and_unknown_file_kind_raise_clear_errors(tmp_path, source, told):
    (tmp_path / "notes.doc").write_text("x")
    with pytest.raises(UserError, match=told) as error:
        matching(str(tmp_path / source))
    assert error.value.exit_code == 2


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("parameter", ["text_column", "label_column", "group_column"])
def test_missing_column_error_lists_available_columns(tmp_path, ending, parameter):
    columns = {"text_column": "text", "label_column": "label", "group_column": "", parameter: "body"}
    with pytest.raises(UserError, match=rf"rows\.{ending}: no column 'body' \({parameter}\); it has text, label"):
        list(read([write(tmp_path / f"rows.{ending}")], Columns(*columns.values())))


def test_broken_utf8_is_set_aside_with_its_line(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_bytes(b"one\ntw\xff\xfeo\nthree\n")
    assert texts(path) == ["one", "three"]
    assert bad_rows(path) == [Bad("not UTF-8", "rows.txt:2", "tw\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}o")]


def test_utf8_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("\N{BOM}text,label\nrow,x\n".encode())
    assert [(row.text, row.label) for row in read([path], LABELLED)] == [("row", "x")]


@pytest.mark.parametrize("ending", ["txt", "jsonl"])
def test_line_of_100_mb_is_set_aside_without_being_loaded(tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    line = b'{"text": "' if ending == "jsonl" else b""
    with path.open("wb") as file:
        file.write(line)
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b'\n{"text": "after"}\n')
    tracemalloc.start()
    items = list(read([path], Columns("text")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [type(item) for item in items] == [Bad, Row]
    assert (items[0].reason, items[0].place) == ("a line over 4 MB", f"rows.{ending}:1")
    assert len(items[0].start) == 200
    assert items[1].id == f"rows.{ending}:2"
    assert peak < 20e6


def test_concatenated_compressed_files_are_read_completely(tmp_path):
    for squeezed, name in ((gzip.compress, "rows.txt.gz"), (zstandard.compress, "rows.txt.zst")):
        (tmp_path / name).write_bytes(squeezed(b"one\n") + squeezed(b"two\n"))
        assert texts(tmp_path / name) == ["one", "two"]


def test_bad_csv_rows_do_not_shift_line_numbers(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b'text,label\ngood,x\n\xff\xfe,x\nthree,x,y\n"two\nlines",x\nshort\nlast,y\n')
    assert [(row.id, row.text) for row in read([path], LABELLED) if isinstance(row, Row)] == [
        ("rows.csv:2", "good"),
        ("rows.csv:6", "two\nlines"),
        ("rows.csv:8", "last"),
    ]
    assert [(item.place, item.reason) for item in bad_rows(path, LABELLED)] == [
        ("rows.csv:3", "not UTF-8"),
        ("rows.csv:4", "3 fields, the header has 2"),
        ("rows.csv:7", "1 field, the header has 2"),
    ]


def test_invalid_json_lines_are_set_aside(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "good"}\nnot json\n[1, 2]\n{"text": 3}\n{"other": "x"}\n' + "[" * 100_000 + "\n")
    assert texts(path) == ["good"]
    reasons = [item.reason for item in bad_rows(path)]
    assert reasons == ["not JSON", "not a JSON object", "no text", "no text", "not JSON"]


def test_an_empty_file_has_no_rows(tmp_path):
    for ending in ("txt", "csv", "jsonl"):
        path = tmp_path / f"rows.{ending}"
        path.touch()
        assert list(read([path], Columns("text"))) == []
