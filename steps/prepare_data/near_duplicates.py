"""Near duplicates among any number of rows, within a bounded memory.

MinHash (Broder 1997, "On the resemblance and containment of documents") with banding (Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4): two texts whose sets of word 5-grams have Jaccard similarity s share a band of
r values among b bands with probability 1 - (1 - s^r)^b. Pairs that share a band are compared by their whole signatures.

The index lies on disk: for each row a key of 8 bytes for each thing that rows may have in common (`KEYS`), 256 bytes
(signature) and 8 bytes a band (hash of the band's values), written as rows come. Afterwards each key is sorted by itself, in
passes of about `_KEYS` rows, so memory stays the same however many rows there are but for some bytes a row.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.corpus import SPLITS
from artifacts.text import normal
from steps.prepare_data.rows import Row, draw_of
from steps.prepare_data.words import key, words_and_signs

_PERMUTATIONS, _BANDS = 64, 16
_WIDTH = _PERMUTATIONS // _BANDS
_SHINGLE = 5  # words
_SHORTEST = 2 * _SHINGLE  # words; in a shorter text each character counts, so it is never nearly another
_WINDOW = 8  # rows before it in its group that a row is compared with, and the group's first
_KEYS = 1 << 18  # rows sorted at once
_CHUNK = 1 << 16  # keys read at once
_COMPARED = 1 << 13  # signatures held at once: 2 MB
_BUFFER = 512  # rows held before they are written

KEYS = (
    "whole",  # the text, and of a pair its target
    "text",
    "folded",  # the text whatever its case
    "target",  # 0: none
    "answer",  # the label and the marked places; 0: none
    "group",  # 0: none
    "letters",  # words without a digit
    "signs",  # words with a digit, symbols
    "place",  # from 0 to 2^64, where its own group or text is drawn: split.py
)
NOT_GIVEN = -1
_NO_SIGNS = key()
_known_key = lru_cache(1 << 10)(key)  # labels, and groups whose rows follow one another

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Index:
    """Takes rows one after another, then says which of them have something in common."""

    def __init__(self, folder: Path, *, near: bool = True, seed: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._near, self._seed = near, seed
        self._signatures = folder / "signatures"
        self._files = {name: folder / name for name in KEYS}
        self.bands = [folder / f"band{band:02d}" for band in range(_BANDS)] if near else []
        paths = [self._signatures, *self._files.values(), *self.bands]
        self._writers = {path: path.open("wb") for path in paths}
        if near:
            from datasketch import MinHash

            self._sketch: Any = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
            self._empty = self._sketch.hashvalues.copy()
        self._buffer: list[tuple[tuple[int, ...], NDArray[np.uint32] | None]] = []
        self._given, self._ranks, self._parts = bytearray(), bytearray(), bytearray()
        self.rows = 0

    def __enter__(self) -> Index:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, row: Row) -> None:
        """Take the next row."""
        text = normal(row.text) if row.image is None else hashlib.sha256(row.image).hexdigest()
        words, letters, signs = words_and_signs(text) if self._near and row.image is None else ([], [], [])
        own, target = key(text), 0 if row.target is None else key(normal(row.target))
        folded = text.casefold()
        answer = 0 if row.label is None and row.spans is None else _known_key(repr((row.label, row.spans)))
        keys = (
            key(str(own), str(target)) if target else own, own, own if folded == text else key(folded), target, answer,
            0 if row.group is None else _known_key(row.group), key(*letters), key(*signs) if signs else _NO_SIGNS,
            draw_of(row.group or text, self._seed),
        )  # fmt: skip
        self._buffer.append((keys, self._signature(words) if len(words) >= _SHORTEST else None))
        given = NOT_GIVEN if row.split is None else SPLITS.index(row.split)
        self._given.append(given & 0xFF)
        self._ranks.append(0 if given > 0 else 2 if answer == 0 else 1)
        self._parts.append(row.part)
        self.rows += 1
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def column(self, name: str) -> NDArray[np.uint64]:
        """One key of every row, mapped from disk."""
        self._finish()
        return np.memmap(self._files[name], np.uint64, "r") if self.rows else np.empty(0, np.uint64)

    def given_splits(self) -> NDArray[np.int8]:
        """The split that each row came with, as a place in SPLITS; `NOT_GIVEN` if none."""
        return np.frombuffer(bytes(self._given), np.int8)

    def parts(self) -> Mask:
        """Whether each row is a part of a longer text."""
        return np.frombuffer(bytes(self._parts), bool)

    def alike(self, threshold: float, left_out: Mask) -> Iterator[tuple[Rows, Rows]]:
        """Pairs of rows that are near duplicates by their words, the one to keep on the left, band by band.

        `left_out` may be changed between one band and the next.
        """
        for band in self.bands:
            for rows, group in self._groups(band, left_out):
                yield from self._alike(rows, group, threshold)

    def same(self, name: str, left_out: Mask) -> Iterator[tuple[Rows, Rows]]:
        """Rows that share this key with another, and the number of each one's group.

        Groups follow one another; within one, rows of given splits but train come first, then rows with an answer.
        """
        self._finish()
        yield from self._groups(self._files[name], left_out)

    def _signature(self, words: list[str]) -> NDArray[np.uint32]:
        array = np.array([zlib.crc32(word.encode()) for word in words], np.uint64)
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
        columns = np.array([keys for keys, _ in self._buffer], np.uint64).T
        for path, column in zip(self._files.values(), columns, strict=True):
            self._writers[path].write(column.tobytes())
        if self._near:
            self._write_signatures()
        self._buffer.clear()

    def _write_signatures(self) -> None:
        none = np.zeros(_PERMUTATIONS, np.uint32)
        found = [none if signature is None else signature for _, signature in self._buffer]
        signatures = np.stack(found).astype(np.uint32)
        short = np.array([signature is None for _, signature in self._buffer])
        alone = np.arange(self.rows - len(found), self.rows, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        self._writers[self._signatures].write(signatures.tobytes())
        for number, band in enumerate(self.bands):
            keys = np.zeros(len(signatures), np.uint64)
            for column in signatures[:, number * _WIDTH : (number + 1) * _WIDTH].T:
                keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
                keys ^= keys >> np.uint64(29)
            keys[short] = alone[short]  # a key of its own: it shares no band
            self._writers[band].write(keys.tobytes())

    def _finish(self) -> None:
        self._flush()
        for writer in self._writers.values():
            writer.close()

    def _groups(self, keys_file: Path, left_out: Mask) -> Iterator[tuple[Rows, Rows]]:
        """Rows that share a key with another, sorted by key, rank and row, and the number of each one's group."""
        self._finish()
        ranks = np.frombuffer(self._ranks, np.uint8)
        passes = -(-self.rows // _KEYS) or 1
        for part in range(passes):
            keys, rows = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
            for start in range(0, self.rows, _CHUNK):
                some = np.fromfile(keys_file, np.uint64, _CHUNK, offset=8 * start)
                chosen = ~left_out[start : start + len(some)] & (some != 0)
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
                group = np.cumsum(np.concatenate([[True], key[1:] != key[:-1]])) - 1
                row = row[np.lexsort((ranks[row], group))]  # stable: rows of one rank stay in order
                yield row.astype(np.int64), group

    def _alike(self, rows: Rows, group: Rows, threshold: float) -> Iterator[tuple[Rows, Rows]]:
        """Rows like one of the `_WINDOW` before them in their group, or like its first.

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
                right = right[_similar(held[right - back - low], held[right - low], threshold)]
                yield rows[right - back], rows[right]
            right = np.arange(start, end)
            right = right[right - firsts[right] > _WINDOW]
            needed, places = np.unique(firsts[right], return_inverse=True)
            right = right[_similar(self._read(rows[needed])[places], held[right - low], threshold)]
            yield rows[firsts[right]], rows[right]

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
