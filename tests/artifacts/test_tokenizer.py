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


def test_special_ids_come_first_and_are_what_they_say(tokenizer):
    ids = [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id]
    assert ids == [0, 1, 2, 3, 4]
    assert tokenizer.pieces(ids) == list(SPECIAL)
    assert tokenizer.vocab_size == tokenizer.info["vocab_size"] > 300


# Sentencepiece writes a space as U+2581, so that one character comes back as a space.
TEXT = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\N{LOWER ONE EIGHTH BLOCK}\x00"), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_every_text_comes_back_exactly(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_id not in ids
    assert all(tokenizer.first_id <= i < tokenizer.vocab_size for i in ids)


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_offsets_are_characters_and_cover_the_text(tokenizer, text):
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    assert "".join(text[start:end] for start, end in offsets) == text
    assert all(before[1] == after[0] for before, after in pairwise(offsets))


def test_spaces_lines_and_written_special_tokens_stay_text(tokenizer):
    for text in ("  two  spaces \n\n\ttab ", "[MASK] and [CLS]", "", "\n", "na\u00efve \u65e5\u672c \U0001f600"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert not set(tokenizer.encode(text)) & set(range(5))


def test_a_batch_is_each_of_its_texts(tokenizer):
    texts = ["apple and river", "", "the cloud"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


def test_ends_are_kept_when_a_text_is_cut(tokenizer):
    ids = tokenizer.encode("apple orchard and river boat")
    assert tokenizer.with_ends(ids, 100) == [2, *ids, 3]
    assert tokenizer.with_ends(ids, 5) == [2, *ids[:3], 3]
    assert tokenizer.decode([2, *ids, 3, 0, 0]) == "apple orchard and river boat"


def test_a_copy_of_the_two_files_is_the_same_tokenizer(tokenizer, tmp_path):
    for name in ("tokenizer.model", "tokenizer.json"):
        shutil.copy(tokenizer.folder / name, tmp_path)
    copy = Tokenizer(tmp_path)
    assert copy.digest == tokenizer.digest
    assert copy.encode("apple orchard") == tokenizer.encode("apple orchard")
