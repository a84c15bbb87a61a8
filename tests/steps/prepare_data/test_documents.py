"""Long texts: parts that are the text again, marked places that move along, cuts that are counted, books of one file."""

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.corpus import SPLITS, Corpus, goes_on
from steps.prepare_data import files, text_files
from steps.prepare_data.columns import Columns
from steps.prepare_data.documents import Parts
from steps.prepare_data.rows import Row
from tests.prepared import prepare, sentence, sentences
from tests.rows_source import ids, prepared


def parts_of(row, longest=40, long_texts="split"):
    parts = Parts(longest, long_texts)
    return list(parts.of(row)), parts


PIECES = [
    "word",
    "a",
    "longer-word-of-many-letters" * 3,
    "\n",
    "\n\n",
    ". ",
    "e\u0301",
    "\N{FAMILY}\u200d\N{FAMILY}",
    "\t",
]
WORDS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=60)


@given(WORDS, st.integers(5, 60), st.data())
def test_joined_parts_equal_the_text_and_spans_move_along(words, longest, data):
    text = " ".join(words).strip() or "x"
    marks, start = [], 0
    while start < len(text):
        begin = data.draw(st.integers(start, len(text)))
        end = data.draw(st.integers(begin, min(len(text), begin + 12)))
        if end > begin:
            marks.append((begin, end, "K"))
        start = end + 5
    made, parts = parts_of(Row("id", text, spans=json.dumps(marks)), longest)
    assert all(0 < len(row.text) <= longest and row.text.strip() for row in made)
    assert sum(len(row.text) for row in made) + parts.cut.characters == len(text)
    if not parts.cut.characters:
        assert "".join(row.text for row in made) == text
    found = [row.text[start:end] for row in made for start, end, _ in json.loads(row.spans)]
    wanted = [text[start:end] for start, end, _ in marks]
    assert len(found) + parts.cut.spans == len(wanted)
    if not parts.cut.spans:
        assert found == wanted
    assert [goes_on(row.id) for row in made[:-1]] == [True] * (len(made) - 1)


def test_parts_end_after_paragraphs_lines_sentences_or_words():
    made, _ = parts_of(Row("id", "One two three. Four five six.\n\nSeven eight nine.\nTen. Eleven twelve thirteen"), 34)
    assert [row.text for row in made] == [
        "One two three. Four five six.\n\n",
        "Seven eight nine.\n",
        "Ten. Eleven twelve thirteen",
    ]
    assert [row.id for row in made] == ["id#1+", "id#2+", "id#3"]
    assert {row.group for row in made} == {"id"}


def test_splitting_keeps_an_accent_with_its_letter():
    made, _ = parts_of(Row("id", "e\u0301" * 50), 41)
    assert all(not row.text.startswith("\u0301") for row in made)


def test_only_the_first_part_of_a_long_text_has_its_label(tmp_path):
    rows = [Row(f"x:{n}", text, "ab"[n % 2]) for n, text in enumerate(sentences(60, words=200))]
    made = prepared(tmp_path, rows, max_characters=300)
    assert sum(sum(made.info["rows_by_label"][split].values()) for split in SPLITS) == 60
    assert made.info["characters"] == sum(len(row.text) for row in rows)
    assert sum(made.info["rows"].values()) == 60 + made.info["long_texts"]["rows_more"]
    for split in SPLITS:
        texts, labels = {}, {}
        for row in made.rows(split):
            document = row["id"].partition("#")[0]
            texts[document] = texts.get(document, "") + row["text"]
            labels.setdefault(document, []).append(row["label"])
        assert all(text == rows[int(document.split(":")[1])].text for document, text in texts.items())
        assert all(some[0] and not any(some[1:]) for some in labels.values())


def test_cut_texts_are_counted_with_their_first_place(tmp_path):
    rows = [Row(f"x:{n}", text) for n, text in enumerate(sentences(40, words=100))]
    made = prepared(tmp_path, rows, max_characters=100, long_texts="cut")
    assert sum(made.info["rows"].values()) == 40
    lost = sum(len(row.text) for row in rows) - made.info["characters"]
    assert made.info["cut"] == {"texts": 40, "characters": lost, "spans": 0, "first": "x:0"}


def test_long_pairs_are_cut_on_both_sides_and_counted(tmp_path):
    rows = [Row(f"x:{n}", text, target=text) for n, text in enumerate(sentences(40, words=100))]
    made = prepared(tmp_path, rows, "pairs", max_characters=100)
    assert made.info["cut"]["texts"] == 40
    kept = sum(len(side) for split in SPLITS for row in made.text_rows(split) for side in row)
    assert 2 * sum(len(row.text) for row in rows) == kept + made.info["cut"]["characters"]


def test_parts_keep_the_user_supplied_group(tmp_path):
    rows = [Row(f"x:{n}", text, group=f"g{n // 3}") for n, text in enumerate(sentences(60, words=100))]
    made = prepared(tmp_path, rows, max_characters=200)
    groups = [{row["group"] for row in made.rows(split)} for split in SPLITS]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert set().union(*groups) == {f"g{n}" for n in range(20)}


# Text files


def book(chapters=40, seed=0):
    draw = random.Random(seed)
    paragraphs = ["\n".join(sentence(draw, 9) for _ in range(draw.randint(1, 9))) for _ in range(chapters)]
    return "\n\n".join(paragraphs) + "\n"


def test_each_file_is_one_document_in_one_split(tmp_path):
    (tmp_path / "books").mkdir()
    for n in range(30):
        (tmp_path / "books" / f"{n:02d}.txt").write_text(book(seed=n))
    made = Corpus(prepare(tmp_path, tmp_path / "books" / "*.txt", rows="file", max_characters=800))
    assert made.info["read"] == 30
    whole: dict[str, str] = {}
    for split in SPLITS:
        there = {row["id"].partition("#")[0] for row in made.rows(split)}
        assert not there & set(whole)
        for row in made.rows(split):
            name = row["id"].partition("#")[0]
            whole[name] = whole.get(name, "") + row["text"]
    assert whole == {f"{n:02d}.txt": book(seed=n).strip() for n in range(30)}


def test_single_document_is_divided_over_splits_in_stretches(tmp_path):
    (tmp_path / "book.txt").write_text(book(600))
    made = Corpus(prepare(tmp_path, tmp_path / "book.txt", rows="file", max_characters=500))
    total = sum(made.info["rows"].values())
    assert made.info["divided_documents"] == 1
    assert made.info["characters"] == len(book(600).strip())
    assert 0.05 < made.count("test") / total < 0.2
    assert 0.03 < made.count("validation") / total < 0.15
    numbers = [[int(each.partition("#")[2].strip("+")) for each in some] for some in ids(made).values()]
    follows = sum(after == before + 1 for some in numbers for before, after in pairwise(some))
    assert follows > 0.8 * total


def test_paragraph_ids_hold_their_first_line_number(tmp_path):
    (tmp_path / "a.txt").write_text("\n\none\ntwo\n \nthree\n\n\n\nfour")
    found = list(files.read([tmp_path / "a.txt"], Columns("text", rows="paragraph")))
    assert [(row.id, row.text) for row in found] == [
        ("a.txt:3", "one\ntwo"),
        ("a.txt:6", "three"),
        ("a.txt:10", "four"),
    ]


@pytest.mark.parametrize("rows", ["file", "paragraph"])
def test_long_file_read_in_chunks_is_one_document(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(text_files, "_STRETCH", 1000)
    text = "\n".join(sentences(200))
    (tmp_path / "long.txt").write_text(f"{text}\n")
    made = Corpus(prepare(tmp_path, tmp_path / "long.txt", rows=rows, max_characters=300))
    assert made.info["read"] == 1
    found = sorted(
        (int(row["id"].partition("#")[2].strip("+")), row["text"]) for split in SPLITS for row in made.rows(split)
    )
    assert "".join(part for _, part in found) == text
    cut = Corpus(prepare(tmp_path / "b", tmp_path / "*.txt", rows="line", max_characters=300))
    assert sum(cut.info["rows"].values()) == 200


def test_non_utf8_line_does_not_end_the_document(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\xfe\xfa bad\ntwo\n")
    found = list(files.read([tmp_path / "a.txt"], Columns("text", rows="file")))
    assert [getattr(row, "reason", None) or row.text for row in found] == ["not UTF-8", "one\ntwo"]
