"""The index of duplicates, against comparing all pairs; what it holds in memory; planted duplicates across parts."""

import random
import re
import tracemalloc

import numpy as np
import pytest

from steps.prepare_data import near_duplicates
from steps.prepare_data.duplicates import EXACT, NEAR, Duplicates
from steps.prepare_data.near_duplicates import Index
from steps.prepare_data.rows import Row
from telemetry import Observe
from tests.prepared import sentence, sentences

THRESHOLD = 0.8


def index_of(tmp_path, texts, name="index") -> Index:
    index = Index(tmp_path / name)
    for text in texts:
        index.add(Row("", text))
    return index


def compared(index, threshold=THRESHOLD):
    return Duplicates(index, "near", threshold)


def found(tmp_path, texts, threshold=THRESHOLD, name="index"):
    out = compared(index_of(tmp_path, texts, name), threshold).find("remove", Observe.silent()).out
    return np.flatnonzero(out == EXACT).tolist(), np.flatnonzero(out == NEAR).tolist()


def across(index, parts):
    return int(compared(index).across(parts)[0].sum())


def jaccard(left: str, right: str) -> float:
    def shingles(text):
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}

    return len(shingles(left) & shingles(right)) / len(shingles(left) | shingles(right))


def changed(text: str, draw: random.Random, words: int = 1) -> str:
    """The text with so many of its last words changed."""
    return " ".join([*text.split()[:-words], *(sentence(draw, 1) for _ in range(words))])


def test_texts_that_differ_all_stay(tmp_path):
    assert found(tmp_path, sentences(500)) == ([], [])


def test_first_duplicate_stays_regardless_of_spaces_and_case(tmp_path):
    one, two, three = sentences(3)
    texts = [one, two, one, f"  {two.upper()}.", three, one.replace(" ", "\n")]
    assert found(tmp_path, texts) == ([2, 5], [3])


def test_near_duplicates_are_removed_and_less_similar_texts_stay(tmp_path):
    draw = random.Random(1)
    texts = sentences(200, words=100)
    near = [changed(text, draw, 2) for text in texts[:50]]
    less = [changed(text, draw, 60) for text in texts[50:100]]
    assert min(map(jaccard, texts, near)) > 0.95
    assert max(map(jaccard, texts[50:], less)) < 0.5
    assert found(tmp_path, [*texts, *near, *less]) == ([], list(range(200, 250)))


@pytest.mark.parametrize("copies", [3, 40])
def test_no_near_duplicates_remain_even_in_large_groups(tmp_path, copies):
    """Against all pairs, in chains where each text is like its neighbours and unlike those far off."""
    texts = []
    for chain in range(5):
        draw = random.Random(chain)
        words = sentence(draw, 60).split()
        for _ in range(copies):
            words = [*words[3:], *sentence(draw, 3).split()]
            texts.append(" ".join(words))
    random.Random(7).shuffle(texts)
    out = compared(index_of(tmp_path, texts)).find("remove", Observe.silent()).out
    left = [text for text, gone in zip(texts, out, strict=True) if not gone]
    # MinHash estimates: 64 values are off by 0.05 or so, hence the margin.
    assert max((jaccard(a, b) for i, a in enumerate(left) for b in left[:i]), default=0) < THRESHOLD + 0.12
    assert len(left) >= 5


def test_partial_passes_over_keys_find_the_same_duplicates(tmp_path, monkeypatch):
    draw = random.Random(2)
    texts = sentences(1500)
    texts += [changed(text, draw) for text in texts[:200]] + texts[300:400]
    whole = found(tmp_path, texts, 0.7)
    monkeypatch.setattr(near_duplicates, "_KEYS", 256)
    monkeypatch.setattr(near_duplicates, "_CHUNK", 100)
    monkeypatch.setattr(near_duplicates, "_COMPARED", 16)
    assert found(tmp_path, texts, 0.7, "again") == whole
    assert len(whole[0]) == 100
    assert len(whole[1]) > 150


def test_planted_duplicates_across_parts_are_found(tmp_path):
    draw = random.Random(3)
    texts = sentences(400, words=60)
    parts = np.zeros(404, np.int8)
    parts[200:] = 1
    texts += [texts[3], changed(texts[5], draw), texts[210], texts[7]]
    parts[403] = -1  # left out: no matter what it says
    assert across(index_of(tmp_path, texts), parts) == 2
    assert across(index_of(tmp_path, texts, "b"), np.zeros(404, np.int8)) == 0


def test_check_finds_no_duplicates_after_removal(tmp_path):
    """Boilerplate: many texts that share most of their words, where an index of first pairs alone would miss some."""
    draw = random.Random(4)
    frame = sentence(draw, 40)
    texts = [f"{frame} {sentence(draw, draw.randint(1, 14))}" for _ in range(1200)]
    index = index_of(tmp_path, texts)
    out = compared(index).find("remove", Observe.silent()).out
    parts = np.random.default_rng(0).integers(0, 3, len(texts)).astype(np.int8)
    assert across(index, parts) > 100
    parts[out > 0] = -1
    assert across(index, parts) == 0


def test_texts_without_words_or_spaces_are_distinguished(tmp_path):
    smile, frown = "\N{SLIGHTLY SMILING FACE}" * 70, "\N{SLIGHTLY FROWNING FACE}" * 70
    chinese = "".join(chr(0x4E00 + n * 37 % 5000) for n in range(120))
    texts = [smile, frown, smile, chinese, chinese[:-2] + "\u4e00\u4e01", chinese[60:] + chinese[:60][::-1]]
    assert found(tmp_path, texts) == ([2], [4])


def test_empty_and_single_row_inputs_have_no_duplicates(tmp_path):
    assert found(tmp_path, []) == ([], [])
    assert found(tmp_path, ["one text alone"], name="b") == ([], [])


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(near_duplicates, "_KEYS", 512)
    monkeypatch.setattr(near_duplicates, "_CHUNK", 512)
    monkeypatch.setattr(near_duplicates, "_COMPARED", 256)
    peaks = []
    for rows in (2000, 8000):
        texts = sentences(rows, seed=rows)
        index = index_of(tmp_path, texts, str(rows))
        tracemalloc.start()
        compared(index).find("remove", Observe.silent())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Two forests of 8 bytes a row, masks, a byte each for what is known of a row
    assert peaks[1] < 1.3 * peaks[0] + 40 * 8000
