"""The law of conservation, as a property of prepare_data over any rows; labels that go, and those that must not."""

import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.corpus import SPLITS
from artifacts.errors import UserError
from artifacts.text import normal
from steps.prepare_data import accounts
from steps.prepare_data.accounts import Account
from steps.prepare_data.rows import Bad, Row
from tests.prepared import prepare, sentences, write_jsonl
from tests.rows_source import ids, prepared

BASE = sentences(30, seed=11)
LONG = sentences(4, seed=12, words=60)
TEXTS = st.one_of(
    st.sampled_from([*BASE[:6], *LONG, *(f"{text} more" for text in LONG), *(text.upper() for text in LONG)]),
    st.sampled_from(
        [
            "caf\u00e9",
            "cafe\u0301",
            "caf\u00e9  ",
            "10 + 10",
            "10 - 10",
            "\N{GRINNING FACE}",
            "",
            " \n",
            "\x00",
            "\ud83d",
        ]
    ),
    st.text(min_size=1, max_size=8),
)
LABELS = st.sampled_from([None, None, "a", "b", "rare"])
ANY_SPLIT = st.sampled_from([None, None, None, "train", "validation", "test"])
ANY_ROWS = st.lists(st.tuples(TEXTS, LABELS, st.sampled_from([None, "g", "h"]), ANY_SPLIT), max_size=40)
OPTIONS = st.fixed_dictionaries({
    "duplicates": st.sampled_from(["near", "exact", "off"]), "leaks": st.sampled_from(["remove", "keep"]),
    "max_characters": st.sampled_from([60, 4000]), "long_texts": st.sampled_from(["split", "cut"]),
    "max_rows_per_label": st.sampled_from([0, 5]), "min_rows_per_label": st.sampled_from([0, 3]),
    "min_characters": st.sampled_from([1, 5]), "allowed_bad_share": st.just(1.0),
})  # fmt: skip


@settings(max_examples=40)
@given(ANY_ROWS, OPTIONS, st.booleans())
def test_every_row_and_label_is_kept_or_left_out_with_a_reason(drawn, options, given_splits):
    rows = [Row(f"b:{n}", text, "ab"[n % 2]) for n, text in enumerate(BASE)]
    rows += [
        Row(f"x:{n}", text, label, group, split=split if given_splits else None)
        for n, (text, label, group, split) in enumerate(drawn)
    ]
    with tempfile.TemporaryDirectory() as folder:
        made = prepared(Path(folder), [*rows, Bad("not JSON", "x:bad")], **options)
        info = made.info
        kept = list(made.rows("train")) + list(made.rows("validation")) + list(made.rows("test"))
        out = {reason: found["count"] for reason, found in info["rows_out"].items()}
        more = info.get("long_texts", {}).get("rows_more", 0)
        assert info["read"] + more == len(rows) + 1 + more == len(kept) + sum(out.values())
        assert out["not JSON"] == 1
        labels = Counter(row["label"] for row in kept if row["label"])
        lost = sum(found["count"] for found in info.get("labels_out", {}).values())
        assert sum(row.label is not None for row in rows) == sum(labels.values()) + lost
        whole = {row["id"].partition("#")[0]: row["text"] for row in kept}
        for row in rows:  # a given validation or test split stays whole, but for what no file can hold
            if row.split in ("validation", "test") and row.text.strip() and not set(row.text) & {"\x00", "\ud83d"}:
                assert normal(whole[row.id]) == normal(row.text) or not row.text.isprintable()
        if options["leaks"] == "remove" and not given_splits:
            places = [
                {unicodedata.normalize("NFC", " ".join(text.split())) for text in made.texts(split)} for split in SPLITS
            ]
            assert len(set().union(*places)) == sum(map(len, places))


def test_unexplained_row_loss_is_an_internal_error():
    account = Account()
    account.leave_out("too rare", "a:1")
    accounts.check("rows", 3, 2, account)
    with pytest.raises(AssertionError, match="3 rows read, 1 kept and 1 left out"):
        accounts.check("rows", 3, 1, account)


def test_log_line_reports_counts_reasons_and_first_places(tmp_path, monkeypatch):
    from telemetry import Observe

    told = []
    monkeypatch.setattr(
        Observe, "log", lambda self, event, message, **fields: told.append((event, fields.get("level"), message))
    )
    rows = [{"text": text, "kind": "ab"[n % 2]} for n, text in enumerate(sentences(300))]
    rows += [
        {"text": "tiny", "kind": "a"},
        {"text": sentences(1)[0], "kind": "a"},
        {"text": "the only one of a rare kind", "kind": "rare"},
    ]
    prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), label_column="kind", max_rows_per_label=100)
    assert [(event, level) for event, level, _ in told] == [("corpus.left_out", "warning"), ("corpus.written", None)]
    assert told[0][2] == (
        "2 of 303 rows left out: 1 shorter than min_characters=10 (first rows.jsonl:301), 1 exact duplicate (first rows.jsonl:302); "
        "103 of 303 labels lost: 100 over max_rows_per_label=100 (first rows.jsonl:1), 1 shorter than min_characters=10 "
        "(first rows.jsonl:301), 1 exact duplicate (first rows.jsonl:302), 1 too rare (first rows.jsonl:303)"
    )


def test_corpus_without_losses_records_no_loss_counts(tmp_path):
    made = prepared(tmp_path, [Row(f"x:{n}", text) for n, text in enumerate(BASE)])
    assert not {"rows_out", "labels_out", "cut", "long_texts", "conflicts", "divided_documents", "labels_read"} & set(
        made.info
    )


# Rare labels


@pytest.mark.parametrize("rare", [1, 2])
def test_label_too_rare_for_every_split_is_removed_from_its_rows(tmp_path, rare):
    rows = [Row(f"x:{n}", text, "ab"[n % 2]) for n, text in enumerate(sentences(100))]
    rows += [Row(f"r:{n}", f"rare {n}", "rare") for n in range(rare)]
    made = prepared(tmp_path, rows)
    assert made.labels == ["a", "b"]
    assert made.info["labels_out"] == {"too rare": {"count": rare, "first": "r:0"}}
    assert made.info["labels_read"] == 100 + rare
    assert sum(made.info["rows"].values()) == 100 + rare


@pytest.mark.parametrize("seed", range(6))
def test_label_with_three_rows_appears_in_every_split(tmp_path, seed):
    rows = [Row(f"x:{n}", text, "ab"[n % 2]) for n, text in enumerate(sentences(60))]
    rows += [Row(f"{label}:{n}", f"{label} number {n}", label) for label in ("few", "rare", "seldom") for n in range(3)]
    made = prepared(tmp_path, rows, seed=seed)
    assert all(set(made.info["rows_by_label"][split]) == {"a", "b", "few", "rare", "seldom"} for split in SPLITS)
    assert "labels_out" not in made.info


def test_min_rows_per_label_removes_rarer_labels(tmp_path):
    rows = [Row(f"x:{n}", text, "abbbbb"[n % 6]) for n, text in enumerate(sentences(120))]
    made = prepared(tmp_path, rows, min_rows_per_label=50)
    assert made.labels == ["b"]
    assert made.info["labels_out"]["too rare"]["count"] == 20


def test_label_confined_to_one_group_raises_clear_error(tmp_path):
    rows = [Row(f"x:{n}", text, "abc"[n % 3], f"g{n % 3}") for n, text in enumerate(sentences(120))]
    with pytest.raises(UserError, match=r"no row of label '.' in the split \w+: its 40 rows are in 1 groups"):
        prepared(tmp_path, rows)


def test_all_distinct_labels_raise_clear_error(tmp_path):
    rows = [Row(f"x:{n}", text, f"label{n}") for n, text in enumerate(sentences(120))]
    with pytest.raises(UserError, match=r"none of 120 labels \('label0', 'label1', 'label10' ...\) has enough rows"):
        prepared(tmp_path, rows)


def test_few_rows_fill_all_splits(tmp_path):
    made = prepared(tmp_path, [Row(f"x:{n}", text) for n, text in enumerate(BASE[:3])])
    assert made.info["rows"] == {"train": 1, "validation": 1, "test": 1}
    assert sorted(each for some in ids(made).values() for each in some) == ["x:0", "x:1", "x:2"]
