"""A Tokenizer reads back what it wrote, and says what each id stands for."""

import shutil
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.tokenizer import SPECIAL, Tokenizer
from tests.small_corpus import make_corpus, make_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    return Tokenizer(make_tokenizer(root, make_corpus(root)).path)


def test_special_ids_come_first_and_match_their_pieces(tokenizer):
    ids = [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id]
    assert ids == [0, 1, 2, 3, 4]
    assert tokenizer.pieces(ids) == list(SPECIAL)
    assert tokenizer.vocab_size == tokenizer.info["vocab_size"] > 300


META = "\N{LOWER ONE EIGHTH BLOCK}"  # sentencepiece writes a space so, and would give it back as one
TEXT = st.text(
    st.one_of(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), st.sampled_from(f"{META} a")),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_any_text_round_trips_exactly(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_id not in ids
    assert all(tokenizer.first_id <= i < tokenizer.vocab_size for i in ids)


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_offsets_count_characters_and_cover_the_text(tokenizer, text):
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    assert "".join(text[start:end] for start, end in offsets) == text
    assert all(before[1] == after[0] for before, after in pairwise(offsets))


def test_spaces_newlines_and_special_token_strings_stay_text(tokenizer):
    for text in ("  two  spaces \n\n\ttab ", "[MASK] and [CLS]", "", "\n", "na\u00efve \u65e5\u672c \U0001f600"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert not set(tokenizer.encode(text)) & set(range(5))


@pytest.mark.parametrize(
    "text", [META, f"meta{META}symbol", f" {META} {META}{META} ", f"{META}apple{META}", f"a\n{META}\u65e5"]
)
def test_sentencepiece_space_symbol_in_text_round_trips(tokenizer, text):
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode(text) == ids == tokenizer.remembering().encode(text)
    assert tokenizer.encode(text) != tokenizer.encode(text.replace(META, " "))
    assert "".join(text[start:end] for start, end in offsets) == text
    assert tokenizer.encode_batch(["a b", text, "a b"]) == [tokenizer.encode("a b"), ids, tokenizer.encode("a b")]


def test_caching_tokenizer_gives_equal_ids_and_encodes_each_text_once(tokenizer):
    remembering, asked = tokenizer.remembering(), []
    pieces = remembering._pieces._pieces
    remembering._pieces._pieces = type(
        "Counting", (), {"encode": lambda _, texts: (asked.extend(texts), pieces.encode(texts))[1]}
    )()
    texts = ["apple", "river boat", "apple", ""]
    found = remembering.encode_batch(texts)
    found[0].append(7)  # what a caller does with its ids is its own affair
    assert remembering.encode_batch(texts[::-1]) == tokenizer.encode_batch(texts)[::-1]
    assert asked == ["apple", "river boat", ""]


def test_batch_encoding_equals_single_encodings(tokenizer):
    texts = ["apple and river", "", "the cloud"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


def test_truncation_keeps_start_and_end_tokens(tokenizer):
    ids = tokenizer.encode("apple orchard and river boat")
    assert tokenizer.with_ends(ids, 100) == [2, *ids, 3]
    assert tokenizer.with_ends(ids, 5) == [2, *ids[:3], 3]
    assert tokenizer.decode([2, *ids, 3, 0, 0]) == "apple orchard and river boat"


def test_copied_files_give_the_same_tokenizer(tokenizer, tmp_path):
    for name in ("tokenizer.model", "tokenizer.json"):
        shutil.copy(tokenizer.folder / name, tmp_path)
    copy = Tokenizer(tmp_path)
    assert copy.digest == tokenizer.digest
    assert copy.encode("apple orchard") == tokenizer.encode("apple orchard")
