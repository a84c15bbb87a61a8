"""Exact and near duplicates among any number of rows, within a bounded memory.

MinHash (Broder 1997, "On the resemblance and containment of documents") with banding (Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4): two texts whose sets of word 5-grams have Jaccard similarity s share a band of
r values among b bands with probability 1 - (1 - s^r)^b. Pairs that share a band are compared by their whole signatures.

The index lies on disk: 8 bytes (hash of the text) and 256 bytes (signature) a row, written as rows come. Afterwards each
band is sorted by itself, in passes of at most `_KEYS` rows, so memory stays the same however many rows there are.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telemetry import Observe

_PERMUTATIONS, _BANDS = 64, 16
_WIDTH = _PERMUTATIONS // _BANDS
_SHINGLE = 5  # words
_KEYS = 4_000_000  # rows sorted at once: 64 MB
_CHUNK = 65_536  # rows read at once
_BUFFER = 512  # rows held before they are written
_WORDS = re.compile(r"\w+")


class Index:
    """Takes rows one after another, then says which of them repeat an earlier one."""

    def __init__(self, folder: Path) -> None:
        from datasketch import MinHash

        folder.mkdir(parents=True, exist_ok=True)
        self._hashes, self._signatures = folder / "hashes", folder / "signatures"
        self._files = (self._hashes.open("wb"), self._signatures.open("wb"))
        self._sketch: Any = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
        self._empty = self._sketch.hashvalues.copy()
        self._buffer: list[tuple[int, NDArray[np.uint32]]] = []
        self.rows = 0

    def add(self, text: str) -> None:
        """Take the next row."""
        words = [zlib.crc32(word.encode()) for word in _WORDS.findall(text.lower())]
        normal = hashlib.blake2b(np.array(words, np.uint32).tobytes() or text.encode(), digest_size=8)
        self._buffer.append((int.from_bytes(normal.digest(), "little"), self._signature(words)))
        self.rows += 1
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def duplicates(self, threshold: float, observe: Observe) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Two masks over the rows: those whose words are an earlier row's, and those nearly so."""
        self._flush()
        for file in self._files:
            file.close()
        exact, near = np.zeros(self.rows, bool), np.zeros(self.rows, bool)
        with observe.progress("find duplicates", 1 + _BANDS, "bands") as progress:
            for rows, starts in self._groups(lambda start, count: self._read_hashes(start, count)):
                exact[_all_but_first(rows, starts)] = True
            progress.update()
            for band in range(_BANDS):
                for rows, starts in self._groups(lambda start, count, band=band: self._band_keys(band, start, count)):  # type: ignore[misc]
                    self._compare(rows, starts, threshold, exact | near, near)
                progress.update()
        return exact, near & ~exact

    def pairs_across(self, parts: NDArray[np.int8], threshold: float) -> int:
        """How many rows have an exact or near duplicate among earlier rows of another part (-1: not looked at)."""
        self._flush()
        for file in self._files:
            file.close()
        found = np.zeros(self.rows, bool)
        readers: list[Any] = [self._read_hashes, *(lambda s, c, b=b: self._band_keys(b, s, c) for b in range(_BANDS))]
        for number, reader in enumerate(readers):
            for rows, starts in self._groups(reader):
                for group in np.split(rows, starts[1:]):
                    group = group[parts[group] >= 0]
                    if len(group) > 1 and len(np.unique(parts[group])) > 1:
                        first = group[0]
                        others = group[parts[group] != parts[first]]
                        same = np.ones(len(others), bool) if number == 0 else self._similar(np.full(len(others), first), others, threshold)
                        found[others[same]] = True
        return int(found.sum())

    def _signature(self, words: list[int]) -> NDArray[np.uint32]:
        if not words:
            return self._empty
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
        if self._buffer:
            self._files[0].write(np.array([key for key, _ in self._buffer], np.uint64).tobytes())
            self._files[1].write(np.stack([signature for _, signature in self._buffer]).astype(np.uint32).tobytes())
            self._buffer.clear()

    def _read_hashes(self, start: int, count: int) -> NDArray[np.uint64]:
        return np.fromfile(self._hashes, np.uint64, count, offset=8 * start)

    def _band_keys(self, band: int, start: int, count: int) -> NDArray[np.uint64]:
        """One number for each row's values in a band; equal values give equal numbers."""
        wanted = self._read_signatures(start, count)[:, band * _WIDTH : (band + 1) * _WIDTH].astype(np.uint64)
        keys = np.zeros(len(wanted), np.uint64)
        for column in wanted.T:
            keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        return keys

    def _read_signatures(self, start: int, count: int) -> NDArray[np.uint32]:
        flat = np.fromfile(self._signatures, np.uint32, count * _PERMUTATIONS, offset=4 * _PERMUTATIONS * start)
        return flat.reshape(-1, _PERMUTATIONS)

    def _groups(self, keys_of: Any) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows that share a key, in order, and where each such group starts."""
        passes = -(-self.rows // _KEYS) or 1
        for part in range(passes):
            keys, rows = [], []
            for start in range(0, self.rows, _CHUNK):
                some = keys_of(start, min(_CHUNK, self.rows - start))
                chosen = np.arange(len(some)) if passes == 1 else np.flatnonzero(some % np.uint64(passes) == part)
                keys.append(some[chosen])
                rows.append((chosen + start).astype(np.uint32))
            if not keys:
                return
            key, row = np.concatenate(keys), np.concatenate(rows)
            order = np.argsort(key, kind="stable")
            key, row = key[order], row[order]
            new = np.concatenate([[True], key[1:] != key[:-1]])
            shared = ~new | np.concatenate([~new[1:], [False]])
            row, new = row[shared], new[shared]
            if len(row):
                yield row.astype(np.int64), np.flatnonzero(new)

    def _compare(self, rows: NDArray[np.int64], starts: NDArray[np.int64], threshold: float, gone: NDArray[np.bool_], near: NDArray[np.bool_]) -> None:
        """Mark rows that are like the first of their group, or like the one before them in it."""
        lengths = np.diff([*starts, len(rows)])
        first = np.repeat(rows[starts], lengths)
        before = np.concatenate([[rows[0]], rows[:-1]])
        is_first = np.zeros(len(rows), bool)
        is_first[starts] = True
        for other in (first, before):
            wanted = ~is_first & ~gone[rows]
            pairs = np.flatnonzero(wanted)
            for start in range(0, len(pairs), _CHUNK // 8):
                some = pairs[start : start + _CHUNK // 8]
                near[rows[some[self._similar(other[some], rows[some], threshold)]]] = True

    def _similar(self, left: NDArray[np.int64], right: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
        """Whether the share of equal values, an estimate of the Jaccard similarity, reaches the threshold."""
        if not len(left):
            return np.zeros(0, bool)
        needed, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        signatures = np.empty((len(needed), _PERMUTATIONS), np.uint32)
        with self._signatures.open("rb") as file:
            for place, row in enumerate(needed):
                file.seek(4 * _PERMUTATIONS * int(row))
                signatures[place] = np.frombuffer(file.read(4 * _PERMUTATIONS), np.uint32)
        same = signatures[places[: len(left)]] == signatures[places[len(left) :]]
        return np.asarray(same.mean(1) >= threshold)


def _all_but_first(rows: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    keep = np.ones(len(rows), bool)
    keep[starts] = False
    return rows[keep]
