"""CSV and TSV: a broken record is set aside alone; the records around it keep their text and their label."""

import csv
import io
import random
from collections import Counter

import pytest

from artifacts.errors import UserError
from steps.prepare_data.columns import Columns
from steps.prepare_data.files import read
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row

COLUMNS = Columns("text", "label")
_WORDS = ["river", "stone", "candle", "harbor", "letter", "engine", "winter", "garden", "copper", "signal"]


def line(number: int, label: str = "") -> str:
    draw = random.Random(number)
    return f"{' '.join(draw.choices(_WORDS, k=6))} {number},{label or 'ab'[number % 2]}"


def items(tmp_path, content: str | bytes, columns=COLUMNS, quoting="auto", name="rows.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read([path], columns, Reading(columns, quoting)))


def rows(found) -> list[tuple[str, str | None]]:
    return [(item.text, item.label) for item in found if isinstance(item, Row)]


def bad(found) -> list[tuple[str, str]]:
    return [(item.place, item.reason) for item in found if isinstance(item, Bad)]


def file_of(lines: list[str], end: str = "\n") -> str:
    return "".join(each + end for each in ["text,label", *lines])


def expected(lines: list[str], without: set[int]) -> list[tuple[str, str]]:
    return [tuple(each.rsplit(",", 1)) for number, each in enumerate(lines) if number not in without]


def quoted(each: str) -> str:
    text, label = each.rsplit(",", 1)
    return f'"{text}","{label}"'


@pytest.mark.parametrize("at", [0, 1, 50, 198, 199])
def test_unclosed_quote_among_unquoted_lines_loses_only_its_line(tmp_path, at):
    lines = [line(number) for number in range(200)]
    found = items(tmp_path, file_of([f'"{each}' if number == at else each for number, each in enumerate(lines)]))
    assert rows(found) == expected(lines, {at})
    assert bad(found) == [(f"rows.csv:{at + 2}", "a quote that is not closed")]


@pytest.mark.parametrize("at", [0, 1, 50, 198, 199])
def test_unclosed_quote_among_quoted_lines_loses_only_its_line(tmp_path, at):
    lines = [line(number) for number in range(200)]
    broken = [quoted(each).replace('","', ",") if number == at else quoted(each) for number, each in enumerate(lines)]
    found = items(tmp_path, file_of(broken))
    assert rows(found) == expected(lines, {at})
    assert [place for place, _ in bad(found)] == [f"rows.csv:{at + 2}"]


@pytest.mark.parametrize("opened", ["first", "last"])
@pytest.mark.parametrize("apart", [3, 4, 10, 100])
def test_stray_quotes_on_two_lines_lose_only_those_lines(tmp_path, opened, apart):
    """The record of all the lines between has the header's two fields, so that its form alone is right."""
    lines = [line(number) for number in range(200)]
    broken = list(lines)
    text, label = lines[40].rsplit(",", 1)
    broken[40] = f'"{text},{label}' if opened == "first" else f'{text},"{label}'
    text, label = lines[40 + apart].rsplit(",", 1)
    broken[40 + apart] = f'{text}",{label}' if opened == "first" else f'{text},{label}"'
    found = items(tmp_path, file_of(broken))
    assert rows(found) == expected(lines, {40, 40 + apart})
    assert [place for place, _ in bad(found)] == ["rows.csv:42", f"rows.csv:{42 + apart}"]


def test_two_lines_with_word_labels_are_not_merged(tmp_path):
    lines = [line(number, ("spam", "ham")[number % 2]) for number in range(60)]
    broken = list(lines)
    broken[30], broken[31] = f'"{lines[30]}', lines[31].replace(",", '",')
    assert rows(items(tmp_path, file_of(broken))) == expected(lines, {30, 31})


def test_stray_quotes_lose_only_their_lines_when_label_comes_first(tmp_path):
    lines = [line(number) for number in range(100)]
    swapped = [",".join(reversed(each.rsplit(",", 1))) for each in lines]
    swapped[40] = swapped[40].replace(",", ',"')
    swapped[80] += '"'
    found = items(tmp_path, "label,text\n" + "\n".join(swapped) + "\n")
    assert rows(found) == expected(lines, {40, 80})


def test_stray_quotes_in_pairs_do_not_merge_many_lines(tmp_path):
    lines = [f"source {number} words,target {number} words" for number in range(200)]
    broken = list(lines)
    broken[50], broken[150] = f'"{broken[50]}', broken[150].replace(",", '",')
    found = items(tmp_path, "text,label\n" + "\n".join(broken) + "\n", Columns("text", target="label"))
    assert [item.text for item in found if isinstance(item, Row)] == [
        each.split(",")[0] for number, each in enumerate(lines) if number not in (50, 150)
    ]


LONG = [
    "two\nlines", "a blank line\n\nwithin", "CRLF\r\nwithin", "CR\rwithin", "with, commas\nin, each, line", "\n", "ends with\n",
    'said "yes, no"\nand "no"', "one, b\nblue, green\nof, course", '"', '""\n""', "a\n" * 50, ",\n,",
    "Berlin, Germany\nParis, France\nRome, Italy\nOslo, Norway\nBern, Switzerland\nWien, Austria\nLima, Peru\nQuito, Ecuador\n"
    "La Paz, Bolivia",
]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("style", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_multiline_fields_are_read_unchanged(tmp_path, style, end):
    wanted = [(f"{number} {text}", "ab"[number % 2]) for number, text in enumerate(LONG * 3)]
    file = io.StringIO()
    csv.writer(file, quoting=style, lineterminator=end).writerows([("text", "label"), *wanted])
    found = items(tmp_path, file.getvalue())
    assert rows(found) == wanted
    assert not bad(found)


def test_parts_of_a_broken_multiline_text_are_not_rows(tmp_path):
    """A text of several lines with quotes that are not doubled: a part has two fields, but no label that is known."""
    lines = [line(number) for number in range(40)]
    text = ['"the first line', 'he said "hi" there', "ok, fine", 'and goodbye",a']
    found = items(tmp_path, file_of([*lines[:20], *text, *lines[20:]]))
    assert rows(found) == expected(lines, set())
    assert [place for place, _ in bad(found)] == [f"rows.csv:{number}" for number in (22, 23, 24, 25)]


def test_undoubled_quotes_lose_only_their_line(tmp_path):
    lines = [line(number) for number in range(40)]
    lines[10] = '"he said "hi" there, friend",a'
    found = items(tmp_path, file_of(lines))
    assert rows(found) == expected(lines, {10})
    assert bad(found) == [("rows.csv:12", "text after a closing quote")]


def test_quotes_in_unquoted_field_are_plain_characters(tmp_path):
    found = items(tmp_path, file_of(['a 5" pipe,a', 'say "yes" or "no",b', "it's,a", 'doubled ""quotes"",b']))
    assert [text for text, _ in rows(found)] == ['a 5" pipe', 'say "yes" or "no"', "it's", 'doubled ""quotes""']


@pytest.mark.parametrize(
    "broken", [b'"broken \xff text",a', b'"broken \xff\nand on",b', b'"broken\nand \xff on",b', b"\xff,a"]
)
def test_non_utf8_line_loses_only_its_record(tmp_path, broken):
    lines = [quoted(line(number)).encode() for number in range(40)]
    content = b"\n".join([b"text,label", *lines[:20], broken, *lines[20:]])
    found = items(tmp_path, content)
    assert rows(found) == expected([line(number) for number in range(40)], set())
    assert [reason for _, reason in bad(found)] == ["not UTF-8"]


_LONG = "x" * (5 << 20)


@pytest.mark.parametrize("long", [_LONG, f'"{_LONG}"', f'"open\n{_LONG}"', f'"open,\n\n{_LONG}{_LONG}\nclosed"'])
def test_overlong_line_loses_only_its_record(tmp_path, long):
    lines = [quoted(line(number)) for number in range(40)]
    found = items(tmp_path, file_of([*lines[:20], long + ",a", *lines[20:]]))
    assert rows(found) == expected([line(number) for number in range(40)], set())
    assert [reason for _, reason in bad(found)] == ["a line over 4 MB"]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("text,label\n", []),
        ("text,label", []),
        ("\n\ntext,label\none,a\n", [("one", "a")]),
        ("text,label\n\none,a\n\n\ntwo,b\n\n", [("one", "a"), ("two", "b")]),
        ("text,label\none,a\ntwo,b", [("one", "a"), ("two", "b")]),
        ('"text","label"\r\n"one","a"\r\n', [("one", "a")]),
        ('\N{BOM}"text",label\none,a\n', [("one", "a")]),
        ("text,label\n\N{BOM}one,a\n", [("\N{BOM}one", "a")]),
        (" text , label \none,a\n", [("one", "a")]),
        ("text,label,\none,a,\n", [("one", "a")]),
        ("text,label\rone,a\rtwo,b\r", [("one", "a"), ("two", "b")]),
        ('text,label\r"one, more",a\r"two\rlines",b', [("one, more", "a"), ("two\nlines", "b")]),
        ("text,label\none,\n,b\n", [("one", None), ("", "b")]),
    ],
)
def test_header_blank_line_and_line_end_variants_are_read(tmp_path, content, wanted):
    found = items(tmp_path, content)
    assert rows(found) == wanted
    assert not bad(found)


def test_rows_with_wrong_field_count_are_set_aside(tmp_path):
    found = items(tmp_path, "text,label\none,a,\nonly\none,b\n,,,\n")
    assert rows(found) == [("one", "b")]
    assert Counter(reason for _, reason in bad(found)) == {
        "3 fields, the header has 2": 1,
        "1 field, the header has 2": 1,
        "4 fields, the header has 2": 1,
    }


def test_nul_character_stays_in_the_text(tmp_path):
    assert rows(items(tmp_path, "text,label\none\0,a\ntwo,b\n")) == [("one\0", "a"), ("two", "b")]


def test_mixed_line_ends_are_an_error_if_rows_would_be_lost(tmp_path):
    with pytest.raises(UserError, match=r"rows\.csv:3: lines end with CR here and with LF elsewhere"):
        items(tmp_path, "text,label\none,a\ntwo,b\rthree,a\rfour,b\n")
    found = items(tmp_path, "text,label\none,a\n10%\r20% done,b\ntwo,b\n")
    assert rows(found) == [("one", "a"), ("10%\r20% done", "b"), ("two", "b")]


def test_tsv_has_quoting_only_on_request(tmp_path):
    lines = ['"yes," she said.\t"Ja", sagte sie.', '5" wide\t5" breit', '"\t"', "'a'\t`b`", 'a ""b""\t"c"']
    pairs = Columns("text", target="target")
    content = "text\ttarget\n" + "\n".join(lines) + "\n"
    found = items(tmp_path, content, pairs, name="rows.tsv")
    assert [f"{item.text}\t{item.target}" for item in found] == lines
    asked = items(tmp_path, 'text\ttarget\n"one\ttab"\t"two\nlines"\n', pairs, "csv", "rows.tsv")
    assert [(item.text, item.target) for item in asked] == [("one\ttab", "two\nlines")]


def test_csv_quoting_can_be_turned_off(tmp_path):
    assert rows(items(tmp_path, 'text,label\n"open,a\nclosed",b\n', quoting="none")) == [
        ('"open', "a"),
        ('closed"', "b"),
    ]


def test_quoted_tsv_header_error_suggests_quoting_setting(tmp_path):
    with pytest.raises(UserError, match=r"no columns 'text' .*set quoting=csv"):
        items(tmp_path, '"text"\t"label"\n"one"\t"a"\n', name="rows.tsv")


def test_file_full_of_broken_quotes_is_rejected_early(tmp_path, monkeypatch):
    """Each line closes the quote before it and opens another: read again for each of them, it would never end."""
    monkeypatch.setattr("steps.prepare_data.delimited._REREAD", 1 << 20)
    with pytest.raises(UserError, match=r"rows\.csv: quotes are broken all over the file.*quoting=none"):
        items(tmp_path, "text,label\n" + 'a""","""x\n' * 20_000)


def text_of(draw: random.Random, several_lines: bool) -> str:
    words = [*draw.choices([*_WORDS, "no,", 'so "called"'], k=draw.randint(3, 9)), str(draw.random())]
    if several_lines and draw.random() < 0.3:
        words.insert(draw.randint(0, len(words)), "\n")
    return " ".join(words)


def broken_somewhere(draw: random.Random, content: str) -> str:
    """A quote too many, one or two, or too few, half a line gone, or two lines joined."""
    start = content.index("\n") + 1
    places = [place for place, character in enumerate(content) if place >= start and character == '"'] or [start]
    at = draw.randint(start, len(content) - 1)
    end = content.find("\n", at)
    other = draw.randint(start, at)
    return draw.choice(
        [
            content[:at] + '"' + content[at:],
            content[:other] + '"' + content[other:at] + '"' + content[at:],
            content[: (place := draw.choice(places))] + content[place + 1 :],
            content[:at] + content[end:],
            content[:end] + content[end + 1 :],
        ]
    )


@pytest.mark.parametrize("several_lines", [False, True])
def test_file_broken_at_one_place_loses_few_rows(tmp_path, several_lines):
    for seed in range(150):
        draw = random.Random(seed)
        labels = draw.choice([["a", "b"], ["spam", "ham", "eggs"]])
        written = [(text_of(draw, several_lines), draw.choice(labels)) for _ in range(60)]
        order = draw.choice([1, -1])
        file = io.StringIO()
        writer = csv.writer(file, quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), lineterminator="\n")
        writer.writerows(row[::order] for row in [("text", "label"), *written])
        found = items(tmp_path, broken_somewhere(draw, file.getvalue()))
        read_rows = Counter(rows(found))
        lost, more = Counter(written) - read_rows, read_rows - Counter(written)
        assert lost.total() <= 5, seed
        assert more.total() <= 3, seed
        assert sum(len(text or "") for text, _ in more) < 300, seed
        if not several_lines:  # else a part of a broken text can look like a row
            assert {label for _, label in more} <= {*labels, None}, seed
