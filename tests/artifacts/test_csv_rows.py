"""Strict CSV: each row's own text, or an error that names the row."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import csv_rows
from artifacts.csv_rows import CsvError, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text\nhello\n", ["hello"]),
        ("\ufefftext\nhello\n", ["hello"]),
        ("text\r\nhello\r\nyou\r\n", ["hello", "you"]),
        ("text\rhello\ryou", ["hello", "you"]),
        ('id,text\n1,"Return the sum, then stop."\n2,\n', ["Return the sum, then stop.", ""]),
        ('text,id\n"two\nlines ""quoted""",1\n', ['two\nlines "quoted"']),
        ('text\n""\n"  "\n', ["", "  "]),
        ('text\nsay "hi"\n', ['say "hi"']),
        ("text\nlast\n\n\n\r\n", ["last"]),
        ("text\nNA\n007\nnull\n", ["NA", "007", "null"]),
        ("text\n", []),
        ("text\n" + "a" * 300_000, ["a" * 300_000]),
    ],
)
def test_column_values_are_read_unchanged(text, expected):
    assert list(values(text, "text")) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "text\nReturn the sum, then stop.\n",
            "row 1 has 2 cells, where the header has 1; put a text with commas into quotation",
        ),
        ("text\na\nb\nc,d\n", "row 3 has 2 cells"),
        ("id,text\n1\n2,hello\n", "row 1 has 1 cells, where the header has 2"),
        ("id,text\n1,a\n2\n", "row 2 has 1 cells"),
        ("text\na\n\nb\n", 'row 2 is blank; write "" for an empty text'),
        ('text\nfine\n"never closed\nmore\n', "row 2: a quotation mark is not closed"),
        ('text\n"closed" and more\n', "row 1: text follows a closing quotation mark"),
        ("text\nhello\rworld\n", "row 1: a line break stands outside quotation marks"),
        ('text\n"a" ,b\n', "row 1: text follows a closing quotation mark"),
        ('text\n"one\ntwo "three" four\n', "row 1: text follows a closing quotation mark"),
        ('"text\nhello\n', "the header: a quotation mark is not closed"),
        ("text,text\na,b\n", "the header names 'text' twice"),
        ("text,id,id\na,b,c\n", "the header names 'id' twice"),
        ("Text\na\n", "the model needs the column 'text'; the header names 'Text'"),
        ("", "the model needs the column 'text'; the header names nothing"),
        ("a,b\n1,2\n", "the model needs the column 'text'; the header names 'a', 'b'"),
        ("text," + "," * csv_rows.COLUMNS + "\na\n", "the header has 1002 columns, where there may be 1000"),
    ],
)
def test_malformed_csv_error_names_row_or_header(text, told):
    with pytest.raises(CsvError) as error:
        list(values(text, "text"))
    assert told in str(error.value)


def test_reading_stops_at_first_malformed_row():
    rows = values("text\n" + "a\n" * 10 + "b,c\n" + "never closed\n", "text")
    assert [next(rows) for _ in range(10)] == ["a"] * 10
    with pytest.raises(CsvError, match="row 11 has 2 cells"):
        next(rows)


CELLS = st.lists(st.text(st.characters(blacklist_categories=["Cs"])), min_size=2, max_size=2)


@given(
    st.lists(CELLS, max_size=8), st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
)
def test_csv_writer_output_round_trips(rows, end, quoting):
    if (
        quoting == csv.QUOTE_MINIMAL
    ):  # the writer leaves a lone carriage return bare, which no reader can know for a text's own
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end, quoting=quoting).writerows([["id", "text"], *rows])
    assert list(values(written.getvalue(), "text")) == [row[1] for row in rows]
