"""Duplicates: what is one and what is none, which of two stays, what stays together, and what a given split shares."""

import random
import unicodedata

import pytest

from artifacts.corpus import SPLITS
from artifacts.errors import UserError
from steps.prepare_data.rows import Row
from tests.prepared import sentences
from tests.rows_source import ids, prepared

BASE = [Row(f"base:{n}", text) for n, text in enumerate(sentences(60, seed=9))]


def kept(tmp_path, texts, labels=None, targets=None, **options):
    """Numbers of the texts that stay."""
    rows = [
        Row(f"x:{n}", text, None if labels is None else labels[n], target=None if targets is None else targets[n])
        for n, text in enumerate(texts)
    ]
    content = "text" if targets is None else "pairs"
    base = BASE if targets is None else [Row(row.id, row.text, target="t") for row in BASE]
    if labels is not None:
        base = [Row(row.id, row.text, row.label, target=row.target) for row in base]
    made = prepared(tmp_path, [*base, *rows], content, **options)
    return sorted(int(each.split(":")[1]) for split in ids(made).values() for each in split if each[0] == "x"), made


DIFFERENT = {
    "emoji": ["{} \N{GRINNING FACE}", "{} \N{POUTING FACE}", "{}"],
    "operators": ["{} a + b", "{} a - b", "{} a * b", "{} a <= b"],
    "vowel signs": [
        "{} \u0939\u093f\u0928\u094d\u0926\u0940",
        "{} \u0939\u093f\u0928\u094d\u0926\u093e",
        "{} \u0939\u093f\u0928\u094d\u0926",
    ],
    "Tamil": ["{} \u0b95\u0bbf", "{} \u0b95\u0bc0", "{} \u0b95"],
    "Arabic diacritics": ["{} \u0643\u064e\u062a\u064e\u0628\u064e", "{} \u0643\u064f\u062a\u0650\u0628\u064e"],
    "Thai tones": ["{} \u0e21\u0e32", "{} \u0e21\u0e49\u0e32", "{} \u0e21\u0e48\u0e32"],
    "joiners": ["{} \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "{} \u0645\u06cc\u062e\u0648\u0627\u0647\u0645"],
    "case": ["{} us", "{} US"],
    "punctuation": ["{} really?", "{} really!", "{} really..."],
    "numbers": ["{} log2", "{} log10"],
    "currency": ["{} 5 \u20ac", "{} 5 $"],
}


@pytest.mark.parametrize("kind", DIFFERENT)
@pytest.mark.parametrize("options", [{"near_duplicate_threshold": 1.0}, {"duplicates": "exact"}, {}])
def test_short_texts_with_small_differences_all_stay(tmp_path, kind, options):
    frames = ["", "one two three", "the river of stone"]
    texts = [form.format(frame).strip() for frame in frames for form in DIFFERENT[kind]]
    texts = list(dict.fromkeys(text for text in texts if text))
    found, made = kept(tmp_path, texts, **options)
    assert found == list(range(len(texts)))
    assert made.info["duplicates"]["exact"] == made.info["duplicates"]["near"] == 0


@pytest.mark.parametrize("kind", ["emoji", "operators", "numbers", "currency"])
def test_long_texts_differing_only_in_symbols_stay_in_one_split(tmp_path, kind):
    frame = sentences(1, seed=3, words=40)[0]
    texts = [form.format(frame) for form in DIFFERENT[kind]]
    found, made = kept(tmp_path, texts)
    assert found == list(range(len(texts)))
    assert sum(any(each[0] == "x" for each in split) for split in ids(made).values()) == 1


def test_long_texts_differing_in_case_and_commas_are_near_duplicates(tmp_path):
    text = sentences(1, seed=3, words=40)[0]
    assert kept(tmp_path, [text, text.upper(), f"{text}, {text[:3]}"])[0] == [0]
    assert kept(tmp_path, [text, text.upper()], near_duplicate_threshold=1.0)[0] == [0, 1]
    assert kept(tmp_path, [text, text.upper(), f"{text} "], duplicates="exact")[0] == [0, 1]
    assert kept(tmp_path, [text, text.upper(), text], duplicates="off")[0] == [0, 1, 2]


def test_texts_equal_after_normalization_are_exact_duplicates(tmp_path):
    text = "caf\u00e9 de la for\u00eat"
    copies = [
        text,
        unicodedata.normalize("NFD", text),
        f"  {text.replace(' ', chr(0xA0))}\n",
        text.replace(" ", "\n\t"),
    ]
    found, made = kept(tmp_path, copies)
    assert found == [0]
    assert made.info["rows_out"] == {"exact duplicate": {"count": 3, "first": "x:1"}}
    hangul = "\uac00\ub098\ub2e4 \ub77c"
    assert kept(tmp_path, [unicodedata.normalize("NFD", hangul), hangul])[0] == [0]


@pytest.mark.parametrize("where", [0, 1, 3])
def test_labelled_duplicate_is_kept_regardless_of_position(tmp_path, where):
    labels = [None] * 4
    labels[where] = "a"
    rows = [Row(f"l:{n}", text, "a") for n, text in enumerate(sentences(30, seed=4))]
    copies = [Row(f"x:{n}", "the same text", label) for n, label in enumerate(labels)]
    made = prepared(tmp_path, [*rows, *copies])
    assert [each for split in ids(made).values() for each in split if each[0] == "x"] == [f"x:{where}"]
    assert sum(sum(made.info["rows_by_label"][split].values()) for split in SPLITS) == 31
    assert "labels_out" not in made.info


def test_labelled_row_is_kept_over_unlabelled_near_duplicate(tmp_path):
    text = sentences(1, seed=5, words=60)[0]
    rows = [Row(f"l:{n}", each, "a") for n, each in enumerate(sentences(30, seed=4))]
    made = prepared(tmp_path, [*rows, Row("x:0", text), Row("x:1", f"{text} indeed", "a")])
    assert [each for split in ids(made).values() for each in split if each[0] == "x"] == ["x:1"]


@pytest.mark.parametrize("words", [3, 40])
def test_equal_texts_with_different_labels_stay_in_one_split(tmp_path, words):
    rows = [Row(f"l:{n}", text, "ab"[n % 2]) for n, text in enumerate(sentences(80, seed=4))]
    texts = sentences(12, seed=6, words=words)
    rows += [Row(f"{label}:{n}", text, label) for label in "ab" for n, text in enumerate(texts)]
    rows += [Row(f"c:{n}", text, "a") for n, text in enumerate(texts)]  # these are duplicates
    made = prepared(tmp_path, rows)
    where = {each: split for split, some in ids(made).items() for each in some}
    for n in range(12):
        assert where[f"a:{n}"] == where[f"b:{n}"]
        assert f"c:{n}" not in where
    assert made.info["conflicts"] == {"label": 24}
    assert made.info["labels_out"] == {"exact duplicate": {"count": 12, "first": "c:0"}}


def test_pairs_are_duplicates_only_if_both_sides_match(tmp_path):
    found, made = kept(tmp_path, ["hello", "hello", "hello", "bye"], targets=["bonjour", "salut", "bonjour", "salut"])
    assert found == [0, 1, 3]
    assert made.info["conflicts"] == {"target": 2}
    assert sum(any(each in ("x:0", "x:1") for each in split) for split in ids(made).values()) == 1


def test_near_duplicates_with_different_labels_stay_in_one_split(tmp_path):
    draw, rows = random.Random(1), []
    for n, text in enumerate(sentences(40, seed=7, words=60)):
        rows += [Row(f"{n}:{label}", f"{text} {draw.choice(('so', 'thus'))} {label}", label) for label in "ab"]
    made = prepared(tmp_path, rows)
    where = {each: split for split, some in ids(made).items() for each in some}
    assert len(where) == 80
    assert all(where[f"{n}:a"] == where[f"{n}:b"] for n in range(40))
    assert "alike_across_splits" not in made.info["leak_check"]


def test_rows_of_one_template_are_spread_over_splits(tmp_path):
    frame = sentences(1, seed=8, words=40)[0]
    rows = [Row(f"x:{n}", f"{frame} {n}", "ab"[n % 2]) for n in range(400)]
    made = prepared(tmp_path, [*BASE, *rows])
    assert sum(made.info["rows"].values()) == 460
    assert min(made.info["rows"].values()) > 5
    assert made.info["leak_check"]["alike_across_splits"] > 50  # kept, and told


def test_groups_sharing_a_text_go_to_one_split(tmp_path):
    rows = [
        Row(f"{n}:{m}", text, "ab"[m % 2], f"g{n}") for n in range(60) for m, text in enumerate(sentences(4, seed=n))
    ]
    rows += [Row(f"same:{n}", f"shared {n // 2}", "ab"[n % 2], f"g{n}") for n in range(20)]
    made = prepared(tmp_path, rows)
    where = {each: split for split, some in ids(made).items() for each in some}
    assert len(where) == 260
    for n in range(0, 20, 2):
        assert where[f"same:{n}"] == where[f"same:{n + 1}"] == where[f"{n}:0"] == where[f"{n + 1}:3"]


def test_text_shared_by_all_groups_is_removed_to_prevent_leaks(tmp_path):
    rows = [
        Row(f"{n}:{m}", text, "ab"[m % 2], f"g{n}") for n in range(60) for m, text in enumerate(sentences(4, seed=n))
    ]
    rows += [Row(f"same:{n}", "yes", f"label{n}", f"g{n}") for n in range(60)]
    made = prepared(tmp_path, rows, content="pairs")
    found = ids(made)
    assert all(not any(each.startswith("same") for each in found[split]) for split in ("train", "validation"))
    assert made.info["rows_out"]["also in another split"]["count"] > 30
    with pytest.raises(UserError, match=r"rows repeat one of another split \(the first: same:\d+\)"):
        prepared(tmp_path / "b", rows, content="pairs", leaks="error")
    kept_all = prepared(tmp_path / "c", rows, content="pairs", leaks="keep")
    assert kept_all.info["leak_check"]["duplicates_across_splits"] > 30


# Splits that the data brings


def benchmark(train=80, test=20):
    rows = [Row(f"train:{n}", text, "ab"[n % 2], split="train") for n, text in enumerate(sentences(train, seed=1))]
    return rows + [Row(f"test:{n}", text, "ab"[n % 2], split="test") for n, text in enumerate(sentences(test, seed=2))]


def test_given_test_split_keeps_short_equal_and_long_rows(tmp_path):
    odd = [
        Row("test:short", "hm", "a", split="test"),
        Row("test:same", "hm", "a", split="test"),
        Row("test:long", "word " * 2000, "b", split="test"),
        Row("test:other", "hm", "c", split="test"),
    ]
    made = prepared(tmp_path, [*benchmark(), *odd], max_characters=500, max_rows_per_label=10, min_rows_per_label=3)
    assert ids(made)["test"] == [*(f"test:{n}" for n in range(20)), *(row.id for row in odd)]
    assert next(row["text"] for row in made.rows("test") if row["id"] == "test:long") == odd[2].text.strip()
    assert made.count("validation") > 0
    assert made.info["leak_check"]["given_splits"] == ["train", "test"]
    assert made.info["leak_check"]["repeated_within_given_splits"] == 2
    assert sum(made.info["rows_by_label"]["test"].values()) == 24
    assert (
        sum(made.info["rows_by_label"]["train"].values()) + sum(made.info["rows_by_label"]["validation"].values()) == 20
    )


@pytest.mark.parametrize("copy", ["{}", "  {} ", "{} and more"])
def test_train_rows_repeating_given_test_rows_are_removed(tmp_path, copy):
    leaked = [
        Row(f"leak:{n}", copy.format(text), "ab"[n % 2], split="train")
        for n, text in enumerate(sentences(20, seed=2, words=60))
    ]
    test = [Row(f"test:{n}", text, "ab"[n % 2], split="test") for n, text in enumerate(sentences(20, seed=2, words=60))]
    rows = [*benchmark(test=0), *leaked, *test]
    made = prepared(tmp_path, rows)
    assert made.count("test") == 20
    assert made.info["rows_out"] == {"also in another split": {"count": 20, "first": "leak:0"}}
    assert made.info["leak_check"]["repeats_of_given_splits"] == 20
    assert made.info["leak_check"]["first_repeat"] == ["leak:0", "test:0"]
    kept_all = prepared(tmp_path / "b", rows, leaks="keep")
    assert sum(kept_all.info["rows"].values()) == 120
    assert kept_all.info["leak_check"]["duplicates_across_splits"] == 20
    with pytest.raises(UserError, match=r"20 rows repeat one of another split \(the first: leak:0 repeats test:0\)"):
        prepared(tmp_path / "c", rows, leaks="error")


def test_train_row_with_test_text_but_other_label_is_a_leak(tmp_path):
    rows = [*benchmark(), Row("leak:0", sentences(20, seed=2)[3].upper(), "b", split="train")]
    made = prepared(tmp_path, rows, duplicates="off")
    assert made.info["rows_out"] == {"also in another split": {"count": 1, "first": "leak:0"}}


def test_three_given_splits_are_kept_unchanged(tmp_path):
    rows = benchmark()
    rows += [Row(f"dev:{n}", text, "a", split="validation") for n, text in enumerate(sentences(10, seed=3))]
    rows += [Row("free:0", "a row that says nothing about its split", "a")]
    made = prepared(tmp_path, rows)
    assert made.info["rows"] == {"train": 81, "validation": 10, "test": 20}
    assert "rows_out" not in made.info


def test_row_shared_by_given_validation_and_test_is_kept_and_counted(tmp_path):
    rows = [*benchmark(), Row("dev:0", sentences(20, seed=2)[0], "a", split="validation")]
    made = prepared(tmp_path, rows)
    assert made.count("validation") == 1
    assert made.info["leak_check"]["duplicates_across_splits"] == 1
