"""Exact and near duplicates among any number of rows, within a bounded memory.

MinHash (Broder 1997, "On the resemblance and containment of documents") with banding (Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4): two texts whose sets of word 5-grams have Jaccard similarity s share a band of
r values among b bands with probability 1 - (1 - s^r)^b. Pairs that share a band are compared by their whole signatures.

The index lies on disk: for each row 8 bytes (hash of its words), 256 bytes (signature) and 8 bytes a band (hash of the
band's values), written as rows come. Afterwards each band is sorted by itself, in passes of about `_KEYS` rows, so memory
stays the same however many rows there are.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from telemetry import Observe

_PERMUTATIONS, _BANDS = 64, 16
_WIDTH = _PERMUTATIONS // _BANDS
_SHINGLE = 5  # words
_WINDOW = 8  # rows before it in its group that a row is compared with, and the group's first
_KEYS = 1 << 18  # rows sorted at once
_CHUNK = 1 << 16  # keys read at once
_COMPARED = 1 << 13  # signatures held at once: 2 MB
_BUFFER = 512  # rows held before they are written
# Writing without spaces (Thai, Lao, Japanese, Chinese): each character counts as a word.
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Index:
    """Takes rows one after another, then says which of them repeat an earlier one."""

    def __init__(self, folder: Path) -> None:
        from datasketch import MinHash

        folder.mkdir(parents=True, exist_ok=True)
        self._signatures = folder / "signatures"
        self._words = folder / "words"
        self._bands = [folder / f"band{band:02d}" for band in range(_BANDS)]
        self._writers = {path: path.open("wb") for path in (self._signatures, self._words, *self._bands)}
        self._sketch: Any = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
        self._empty = self._sketch.hashvalues.copy()
        self._buffer: list[tuple[int, NDArray[np.uint32]]] = []
        self.rows = 0

    def __enter__(self) -> Index:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, text: str) -> None:
        """Take the next row."""
        # A text without any word (emoji, say) is one word: else all of these would be alike.
        words = [zlib.crc32(word.encode()) for word in _WORDS.findall(text.lower()) or [text]]
        digest = hashlib.blake2b(np.array(words, np.uint32).tobytes(), digest_size=8).digest()
        self._buffer.append((int.from_bytes(digest, "little"), self._signature(words)))
        self.rows += 1
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def duplicates(self, threshold: float, observe: Observe) -> tuple[Mask, Mask]:
        """Two masks over the rows: those whose words are an earlier row's, and those nearly so.

        Passes over the bands go on until one finds nothing: a row that goes makes room for others to be compared.
        """
        self._finish()
        exact = np.zeros(self.rows, bool)
        with observe.progress("find duplicates", None, "bands") as progress:
            for rows, group in self._groups(self._words, exact):
                exact[rows[1:][group[1:] == group[:-1]]] = True
            gone = exact.copy()
            while True:
                before = int(gone.sum())
                for band in self._bands:
                    for rows, group in self._groups(band, gone):
                        for some in self._alike(rows, group, threshold, None):
                            gone[some] = True
                    progress.update()
                if int(gone.sum()) == before:
                    return exact, gone & ~exact

    def pairs_across(self, parts: NDArray[np.int8], threshold: float) -> int:
        """How many rows have an exact or near duplicate among earlier rows of another part (-1: not looked at)."""
        self._finish()
        found = np.zeros(self.rows, bool)
        for rows, group in self._groups(self._words, parts < 0):
            other = (group[1:] == group[:-1]) & (parts[rows[1:]] != parts[rows[:-1]])
            found[rows[1:][other]] = True
        for band in self._bands:
            for rows, group in self._groups(band, parts < 0):
                for some in self._alike(rows, group, threshold, parts):
                    found[some] = True
        return int(found.sum())

    def _signature(self, words: list[int]) -> NDArray[np.uint32]:
        array = np.array(words, np.uint64)
        count = max(1, len(array) - _SHINGLE + 1)
        shingles = np.zeros(count, np.uint64)
        for offset in range(min(_SHINGLE, len(array))):
            shingles = shingles * np.uint64(1_000_003) + array[offset : offset + count]
        self._sketch.hashvalues = self._empty.copy()
        self._sketch.update_batch((shingles & np.uint64(0xFFFFFFFF)).tolist())
        values: NDArray[np.uint32] = self._sketch.hashvalues
        return values

    def _flush(self) -> None:
        if not self._buffer:
            return
        signatures = np.stack([signature for _, signature in self._buffer]).astype(np.uint32)
        self._writers[self._words].write(np.array([key for key, _ in self._buffer], np.uint64).tobytes())
        self._writers[self._signatures].write(signatures.tobytes())
        for number, band in enumerate(self._bands):
            keys = np.zeros(len(signatures), np.uint64)
            for column in signatures[:, number * _WIDTH : (number + 1) * _WIDTH].T:
                keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
                keys ^= keys >> np.uint64(29)
            self._writers[band].write(keys.tobytes())
        self._buffer.clear()

    def _finish(self) -> None:
        self._flush()
        for writer in self._writers.values():
            writer.close()

    def _groups(self, keys_file: Path, left_out: Mask) -> Iterator[tuple[Rows, Rows]]:
        """Rows that share a key with another, sorted by key and then by row, and the number of each one's group."""
        passes = -(-self.rows // _KEYS) or 1
        for part in range(passes):
            keys, rows = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
            for start in range(0, self.rows, _CHUNK):
                some = np.fromfile(keys_file, np.uint64, _CHUNK, offset=8 * start)
                chosen = ~left_out[start : start + len(some)]
                if passes > 1:
                    chosen &= some % np.uint64(passes) == part
                keys.append(some[chosen])
                rows.append((np.flatnonzero(chosen) + start).astype(np.uint32))
            key, row = np.concatenate(keys), np.concatenate(rows)
            if len(row) < 2:
                continue
            order = np.argsort(key, kind="stable")
            key, row = key[order], row[order]
            same = key[1:] == key[:-1]
            shared = np.concatenate([same, [False]]) | np.concatenate([[False], same])
            key, row = key[shared], row[shared]
            if len(row):
                new = np.concatenate([[True], key[1:] != key[:-1]])
                yield row.astype(np.int64), np.cumsum(new) - 1

    def _alike(self, rows: Rows, group: Rows, threshold: float, parts: NDArray[np.int8] | None) -> Iterator[Rows]:
        """Rows like one of the `_WINDOW` before them in their group, or like its first; with `parts`, of another part.

        A group is seldom larger than the window, so that nearly always all pairs are compared; in a large one
        (a boilerplate of thousands of rows) the work stays proportional to its size.
        """
        firsts = np.searchsorted(group, group)
        for start in range(0, len(rows), _COMPARED):
            end, low = min(len(rows), start + _COMPARED), max(0, start - _WINDOW)
            held = self._read(rows[low:end])
            for back in range(1, _WINDOW + 1):
                right = np.arange(max(start, back), end)
                right = right[group[right] == group[right - back]]
                if parts is not None:
                    right = right[parts[rows[right]] != parts[rows[right - back]]]
                yield rows[right[_similar(held[right - back - low], held[right - low], threshold)]]
            right = np.arange(start, end)
            right = right[right - firsts[right] > _WINDOW]
            if parts is not None:
                right = right[parts[rows[right]] != parts[rows[firsts[right]]]]
            needed, places = np.unique(firsts[right], return_inverse=True)
            yield rows[right[_similar(self._read(rows[needed])[places], held[right - low], threshold)]]

    def _read(self, rows: Rows) -> NDArray[np.uint32]:
        """Signatures of these rows."""
        signatures = np.empty((len(rows), _PERMUTATIONS), np.uint32)
        with self._signatures.open("rb", buffering=0) as file:
            for place, row in enumerate(rows.tolist()):
                file.seek(4 * _PERMUTATIONS * row)
                file.readinto(memoryview(signatures[place]).cast("B"))
        return signatures


def _similar(left: NDArray[np.uint32], right: NDArray[np.uint32], threshold: float) -> Mask:
    """Whether the share of equal values, an estimate of the Jaccard similarity, reaches the threshold."""
    return np.asarray((left == right).sum(1) >= threshold * _PERMUTATIONS)
