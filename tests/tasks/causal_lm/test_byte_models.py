"""The baselines of language models: by hand, and as probabilities must be."""

import math
from collections import Counter

import numpy as np
import pytest

from tasks.causal_lm.byte_models import SYMBOLS, WittenBell, deflate_nats, lzma_nats, sample, symbols, unigram

TEXTS = [b"abracadabra", b"abrac", b"cab"]


def slow_witten_bell(texts, order, text):
    """As the formula is written, with dictionaries."""
    counts: dict[tuple[int, ...], Counter[int]] = {}
    for one in texts:
        padded = [256] * (order - 1) + [*one, 256]
        for place in range(order - 1, len(padded)):
            for length in range(order):
                counts.setdefault(tuple(padded[place - length : place]), Counter())[padded[place]] += 1

    def probability(history, symbol):
        below = probability(history[1:], symbol) if history else 1 / SYMBOLS
        after = counts.get(tuple(history))
        if not after:
            return below
        return (after[symbol] + len(after) * below) / (after.total() + len(after))

    padded = [256] * (order - 1) + [*text, 256]
    places = range(order - 1, len(padded))
    return -sum(math.log(probability(padded[place - order + 1 : place], padded[place])) for place in places)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_witten_bell_matches_formula(order):
    asked = [b"abra", b"", b"xyz", b"cadabrab", b"\x00\xff"]
    found = WittenBell(symbols(TEXTS), order).nats(asked)
    assert found.tolist() == pytest.approx([slow_witten_bell(TEXTS, order, text) for text in asked])


def test_witten_bell_is_a_distribution():
    model = WittenBell(symbols(TEXTS), 3)
    ends = np.exp(-model.nats([b"ab"])[0])
    with_one_more = sum(np.exp(-model.nats([b"ab" + bytes([byte])])[0]) for byte in range(256))
    assert 0 < ends + with_one_more < 1, "longer texts have the rest"
    first = WittenBell(symbols([b""]), 1).nats([b""])[0]
    assert first == pytest.approx(-math.log((1 + 1 / SYMBOLS) / 2))


def test_unigram_counts_bytes_and_ends():
    found = unigram(symbols([b"aab"]), [b"a", b""])
    total = 4 + SYMBOLS
    assert found.tolist() == pytest.approx([-math.log(3 / total) - math.log(2 / total), -math.log(2 / total)])


@pytest.mark.parametrize("method", [deflate_nats, lzma_nats])
def test_compressors_profit_from_preceding_text(method):
    text = b"The quick brown fox jumps over the lazy dog, again and again and again. " * 2
    alone, helped = method(b"", [text])[0], method(b"Something else. " + text + b"And the end.", [text])[0]
    assert 0 < helped < alone / 2
    assert alone < len(text) * 8 * math.log(2)


def test_a_sample_is_taken_evenly():
    texts = [f"{number:02}" for number in range(30)]
    assert list(sample(lambda: texts, 100)) == [text.encode() for text in texts]
    assert list(sample(lambda: texts, 20)) == [text.encode() for text in texts[::3]]
