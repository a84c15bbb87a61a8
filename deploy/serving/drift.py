"""Drift: shares of lengths and answers compared with those recorded at registration.

Measured by the population stability index, sum over parts of (p - q) ln(p / q): Siddiqi 2006, "Credit Risk Scorecards",
chapter 8, whose rule of thumb is that under 0.1 nothing has moved, and over 0.25 much has. It is the symmetrised
Kullback-Leibler divergence (Jeffreys 1946).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

WINDOW = 2000  # of the newest questions
FEWEST = 200  # with fewer an index would be noise: of B parts and n rows it is about (B - 1) / n by chance
_LEAST = 1e-4  # a share of nothing would make the index infinite


class Drift:
    """The newest questions of one version, compared with its recorded profile."""

    def __init__(self, profile: Mapping[str, Any]) -> None:  # as tasks/self_check.py makes it
        self._edges: Sequence[int] = profile.get("edges", [])
        self._lengths: Sequence[float] = profile.get("lengths", [])
        self._classes: Mapping[str, float] = profile.get("classes", {})
        self._unknown: float | None = profile.get("unknown_share")
        self._seen: deque[tuple[int, str]] = deque(maxlen=WINDOW)
        self._shares: deque[tuple[int, float]] = deque(maxlen=WINDOW // 8)

    @property
    def rows(self) -> int:
        """Questions in the window."""
        return len(self._seen)

    def saw(self, texts: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> None:
        """Questions and their answers."""
        for text, answer in zip(texts, answers, strict=True):
            label = answer.get("prediction")
            self._seen.append((len(text), label if isinstance(label, str) else ""))

    def add_counts(self, tokens: int, unknown_share: float) -> None:
        """Add the tokenizer's figures for a batch."""
        self._shares.append((tokens, unknown_share))

    def indices(self) -> dict[str, float]:
        """The index of `length` and `class`, as far as they are recorded and enough was seen."""
        if len(self._seen) < FEWEST:
            return {}
        indices = {}
        if self._lengths:
            parts = Counter(bisect_left(self._edges, length) for length, _ in self._seen)
            indices["length"] = stability(
                self._lengths, [parts[i] / len(self._seen) for i in range(len(self._lengths))]
            )
        if self._classes:
            counts = Counter(label for _, label in self._seen)
            indices["class"] = stability(
                list(self._classes.values()), [counts[c] / len(self._seen) for c in self._classes]
            )
        return indices

    def unknown_shares(self) -> dict[str, float]:
        """The share of unknown tokens, `expected` and `seen`."""
        if self._unknown is None or not self._shares:
            return {}
        tokens = sum(count for count, _ in self._shares)
        return {"expected": self._unknown, "seen": sum(n * share for n, share in self._shares) / max(1, tokens)}


def stability(expected: Sequence[float], seen: Sequence[float]) -> float:
    """The population stability index of two distributions over the same parts."""
    pairs = [(max(_LEAST, p), max(_LEAST, q)) for p, q in zip(seen, expected, strict=True)]
    return sum((p - q) * math.log(p / q) for p, q in pairs)
