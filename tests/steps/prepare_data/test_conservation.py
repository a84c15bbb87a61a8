"""The law of the readers over generated files: rows written = rows read + rows out by each reason, each as it was written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.prepare_data.columns import Columns
from steps.prepare_data.files import read
from steps.prepare_data.huggingface import DataSet
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row, clean_row

FILES = 84  # of each kind below, over a thousand in all
SLOW_FILES = 8  # of each that the library `datasets` reads
KINDS = [*(kind + squeezed for kind in ("txt", "csv", "tsv", "jsonl") for squeezed in ("", ".gz", ".zst")), "parquet"]
COLUMNS = Columns("text", "label", "group", "target")

_CHARACTERS = st.one_of(st.sampled_from(" ,\"\n\t\r;'ab1\0\N{BOM}é"), st.characters(codec="utf-8"))
_TEXTS = st.text(_CHARACTERS, max_size=20)
_LABELS = st.one_of(
    st.none(), st.sampled_from(["a", "spam ", "007", "NA", "None", "nan", "1.0"]), st.text(_CHARACTERS, max_size=4)
)


@dataclass(frozen=True)
class Written:
    """A record of a file: a row, or the reason for which it is out."""

    text: str = ""
    label: str | None = None
    group: str | None = None
    target: str = ""
    reason: str = ""


_ROWS = st.builds(Written, _TEXTS, _LABELS, _LABELS, _TEXTS)
_REASONS = {
    "txt": ["not UTF-8"],
    "csv": ["not UTF-8", "5 fields, the header has 4", "1 field, the header has 4"],
    "tsv": ["not UTF-8", "5 fields, the header has 4", "1 field, the header has 4"],
    "jsonl": ["not UTF-8", "not JSON", "not a JSON object", "no text", "no target"],
    "parquet": ["not UTF-8", "no text", "no target"],
}


def records(kind: str) -> st.SearchStrategy[list[Written]]:
    broken = st.builds(Written, reason=st.sampled_from(_REASONS[kind]))
    return st.lists(st.one_of(_ROWS, _ROWS, _ROWS, _ROWS, broken), max_size=12).map(
        lambda rows: [row if row.reason else fitted(kind, row) for row in rows]
    )


def fitted(kind: str, row: Written) -> Written:
    """The row without the characters that its kind of file cannot hold in a field."""
    if kind == "txt":  # a line that is not blank; a NUL near the beginning would make the file look like UTF-16
        line = row.text.translate({0: "0", 10: " "}).removesuffix("\r")
        return Written(f"-{line}")
    if kind == "tsv":
        return Written(
            *(
                None if value is None else value.translate({9: "-", 10: "-", 13: "-"})
                for value in (row.text, row.label, row.group, row.target)
            )
        )
    return row


def delimited(rows: list[Written], delimiter: str, style: int, end: str) -> bytes:
    broken = {"not UTF-8": b"\xff\xfe", _REASONS["csv"][1]: delimiter.join("12345").encode(), _REASONS["csv"][2]: b"1"}
    data = io.BytesIO()
    for row in [Written("text", "label", "group", "target"), *rows]:
        line = io.StringIO()
        fields = [row.text, row.label or "", row.group or "", row.target]
        if delimiter == "\t":
            line.write("\t".join(fields) + end)
        else:
            csv.writer(line, delimiter=delimiter, quoting=style, lineterminator=end).writerow(fields)
        data.write(broken[row.reason] + end.encode() if row.reason else line.getvalue().encode())
    return data.getvalue()


def json_lines(rows: list[Written], end: str, ascii_only: bool) -> bytes:
    broken = {
        "not UTF-8": b"\xff",
        "not JSON": b'{"text": ',
        "not a JSON object": b"[1, 2]",
        "no text": b'{"text": 3, "target": "x"}',
        "no target": b'{"text": "x"}',
    }
    # The columns are judged over the file, so that one row must have them all.
    lines = [b'{"text": "first", "label": "a", "group": "b", "target": "c"}']
    for row in rows:
        values = {"text": row.text, "label": row.label, "group": row.group, "target": row.target}
        lines.append(broken.get(row.reason) or json.dumps(values, ensure_ascii=ascii_only).encode())
    return b"".join(line + end.encode() for line in lines)


def table(rows: list[Written]) -> pa.Table:
    def column(values: list[str | bytes | None]) -> pa.Array:
        encoded = [value.encode() if isinstance(value, str) else value for value in values]
        return pa.array(encoded, pa.binary()).view(pa.string())

    outcome = {"not UTF-8": b"\xff", "no text": None}
    return pa.table(
        {
            "text": column([outcome.get(row.reason, row.text) for row in rows]),
            "label": column([row.label for row in rows]),
            "group": column([row.group for row in rows]),
            "target": column([None if row.reason == "no target" else row.target for row in rows]),
        }
    )


def write(path: Path, rows: list[Written], style: int, end: str, ascii_only: bool) -> None:
    kind = path.name.split(".")[1]
    if kind == "parquet":
        pq.write_table(table(rows), path, row_group_size=5)
        return
    if kind == "txt":
        data = b"".join((b"\xff" if row.reason else row.text.encode()) + end.encode() for row in rows)
    elif kind == "jsonl":
        data = json_lines(rows, end, ascii_only)
    else:
        data = delimited(rows, "\t" if kind == "tsv" else ",", style, end)
    squeezed = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix)
    path.write_bytes(squeezed(data) if squeezed else data)


def meant(kind: str, row: Written) -> tuple[str, str | None, str | None, str | None]:
    label, group = ((value or "").strip() or None for value in (row.label, row.group))
    return row.text, label, group, None if kind == "txt" else row.target


def hold_the_law(kind: str, rows: list[Written], items: list[Row | Bad]) -> None:
    if kind == "jsonl":
        rows = [Written("first", "a", "b", "c"), *rows]
    assert len(items) == len(rows)
    for row, item in zip(rows, items, strict=True):
        if row.reason:
            assert isinstance(item, Bad)
            assert item.reason == row.reason
            assert item.place
        else:
            assert isinstance(item, Row)
            assert (item.text, item.label, item.group, item.target) == meant(kind, row)
    assert len({item.id for item in items if isinstance(item, Row)}) == sum(isinstance(item, Row) for item in items)
    # And after cleaning: each row is kept, or out for a reason.
    after = [item if isinstance(item, Bad) else clean_row(item, item.id) for item in items]
    out = Counter(item.reason for item in after if isinstance(item, Bad))
    kept = [item for item in after if isinstance(item, Row)]
    assert len(rows) == len(kept) + out.total()
    labels = Counter(meant(kind, row)[1] for row in rows if not row.reason)
    lost = Counter(
        item.label for item, end in zip(items, after, strict=True) if isinstance(item, Row) and end not in kept
    )
    assert labels == Counter(item.label for item in kept) + lost


_STYLES = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
_ENDS = st.sampled_from(["\n", "\r\n"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_of_a_file_is_read_once_and_unchanged(kind):
    name = kind.split(".")[0]

    @settings(max_examples=FILES)
    @given(records(name), _STYLES, _ENDS, st.booleans())
    def law(rows: list[Written], style: int, end: str, ascii_only: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"rows.{kind}")
            write(path, rows, style, end, ascii_only)
            hold_the_law(name, rows, list(read([path], Columns("text") if name == "txt" else COLUMNS)))

    law()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_record_of_a_hugging_face_folder_is_read_once(kind, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")

    @settings(max_examples=SLOW_FILES)
    @given(records(kind), _STYLES, _ENDS, st.booleans())
    def law(rows: list[Written], style: int, end: str, ascii_only: bool) -> None:
        rows = [row for row in rows if kind != "parquet" or row.reason != "not UTF-8"] or [
            Written("text", None, None, "x")
        ]
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, f"train.{kind}"), rows, style, end, ascii_only)
            hold_the_law(kind, rows, list(DataSet(folder, "").rows("train", Reading(COLUMNS))))

    law()
