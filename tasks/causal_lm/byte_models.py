"""Simple models of a text's bytes: the baselines of a language model.

Each gives a text's cost in nats, the end of the text included, so that all are compared on one scale: a compressor's bits
are nats times log2(e).

    unigram       how often each byte is in the training text, plus one for each
    Witten-Bell   P(w | h) = (c(hw) + T(h) P(w | h')) / (c(h) + T(h)), with T(h) the different bytes seen after h, and h'
                  h without its first byte; at the bottom all are alike. Witten and Bell 1991, method C, interpolated
                  as in Chen and Goodman 1998 (TR-10-98), section 2.5
    gzip, lzma    the text's own compressed bytes, behind training text that compresses it as far as it repeats

Symbols: the bytes 0 to 255, and 256, which stands before a text and at its end.
"""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

END = 256
SYMBOLS = 257
_BITS = 9  # of a symbol: seven fit into 63
_DICTIONARY = 32_768  # bytes that deflate can look back


def unigram(training: NDArray[np.int64], texts: Sequence[bytes]) -> NDArray[np.float64]:
    """Nats of each text; `training` are symbols as `symbols` gives them."""
    counts = np.bincount(training, minlength=SYMBOLS) + 1.0
    nats = -np.log(counts / counts.sum())
    return np.array([nats[np.frombuffer(text, np.uint8)].sum() + nats[END] for text in texts])


class WittenBell:
    """An interpolated n-gram model of bytes, its counts as sorted arrays."""

    def __init__(self, training: NDArray[np.int64], order: int) -> None:
        """`order` symbols make an n-gram, at most seven."""
        self.order = order
        history = _histories(training, order)
        self._levels = []
        for length in range(order):  # of the history
            known, counts = np.unique(_append(history[length], training), return_counts=True)
            histories, begins = np.unique(known >> _BITS, return_index=True)
            self._levels.append(
                (known, counts, histories, np.add.reduceat(counts, begins), np.diff([*begins, len(known)]))
            )

    def nats(self, texts: Sequence[bytes]) -> NDArray[np.float64]:
        """Nats of each text, its end included."""
        if not texts:
            return np.zeros(0)
        values = symbols(texts)
        history = _histories(values, self.order)
        probability = np.full(len(values), 1 / SYMBOLS)
        for length, (known, counts, histories, totals, kinds) in enumerate(self._levels):
            seen, place = _look_up(histories, history[length])
            together, own = _look_up(known, _append(history[length], values))
            count = np.where(together, counts[own], 0)
            mixed = (count + kinds[place] * probability) / (totals[place] + kinds[place])
            probability = np.where(seen, mixed, probability)
        ends = np.flatnonzero(values == END)
        return np.array([part.sum() for part in np.split(-np.log(probability), ends[:-1] + 1)])


def symbols(texts: Iterable[bytes]) -> NDArray[np.int64]:
    """Texts behind one another, the end after each."""
    end = np.array([END], np.int64)
    parts = [part for text in texts for part in (np.frombuffer(text, np.uint8).astype(np.int64), end)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def deflate_nats(training: bytes, texts: Sequence[bytes]) -> NDArray[np.float64]:
    """Nats of each text as gzip's method writes it, which has read the last of the training text."""
    nats = []
    for text in texts:
        writer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, training[-_DICTIONARY:])
        nats.append(len(writer.compress(text)) + len(writer.flush()))
    return _nats(nats)


def lzma_nats(training: bytes, texts: Sequence[bytes]) -> NDArray[np.float64]:
    """Nats of each text: how many more bytes LZMA needs for the last of the training text with it than without."""
    before = training[-_DICTIONARY:]
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20}]

    def size(data: bytes) -> int:
        return len(lzma.compress(data, lzma.FORMAT_RAW, filters=filters))

    alone = size(before)
    return _nats([size(before + text) - alone for text in texts])


def sample(texts: Callable[[], Iterable[str]], limit: int) -> Iterator[bytes]:
    """Texts evenly taken from all, of about `limit` bytes together; a corpus is often sorted. `texts` is called twice."""
    total = sum(len(text) for text in texts())
    every = max(1, math.ceil(total / limit))
    return (text.encode() for number, text in enumerate(texts()) if number % every == 0)


def _nats(sizes: Sequence[int]) -> NDArray[np.float64]:
    return np.array(sizes, np.float64) * 8 * math.log(2)


def _histories(text: NDArray[np.int64], order: int) -> list[NDArray[np.int64]]:
    """The history of each symbol as one number, for each length from 0; a text is preceded by end symbols."""
    starts = np.zeros(len(text), np.int64)  # where the text of each symbol begins
    ends = np.flatnonzero(text == END)
    starts[ends[:-1] + 1] = ends[:-1] + 1
    starts = np.maximum.accumulate(starts)
    places, found = np.arange(len(text)), [np.zeros(len(text), np.int64)]
    for back in range(1, order):
        before = places - back
        symbol = np.where(before >= starts, text[np.maximum(before, 0)], END)
        found.append(found[-1] | (symbol << (_BITS * (back - 1))))
    return found


def _append(history: NDArray[np.int64], text: NDArray[np.int64]) -> NDArray[np.int64]:
    return (history << _BITS) | text


def _look_up(known: NDArray[np.int64], values: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each is known, and its place (any where it is not)."""
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known[place] == values, place
