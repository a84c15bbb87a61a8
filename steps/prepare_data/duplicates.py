"""Rows that repeat another, that stand in for a row of another split, and that must stay together.

Rows that differ in label, marked places or target are no duplicates. Of rows with the same text and target a labelled one stays,
wherever it stands; else the first. Near duplicates are equal in label and target too, and differ in more than signs (`words.py`).
Rows that are alike and all stay go to one split, so that nothing leaks. Rows of a given validation or test split never go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steps.prepare_data.forest import Forest
from steps.prepare_data.near_duplicates import Index, Mask, Rows
from telemetry import Observe

KEPT, EXACT, NEAR, LEAK = range(4)
REASONS = ("kept", "exact duplicate", "near duplicate", "also in another split")
Mode = Literal["near", "exact", "off"]
# Rows that are alike stay together up to such a share of all rows, or so many.
_EQUAL_TEXTS, _ALIKE = (0.005, 16), (0.005, 8)


@dataclass
class Found:
    """A reason for each row (a place in REASONS), the rows that belong together, and the overlap of given splits."""

    out: NDArray[np.int8]
    forest: Forest
    leaks: int = 0  # rows outside of a given validation or test split that repeat one of it
    first_leak: tuple[int, int] | None = None  # the row, and the one that it repeats
    repeated: int = 0  # rows of a given validation or test split that repeat another of it
    # Rows that stay whose text has another label, another target
    conflicts: dict[str, int] = field(default_factory=dict)


class Duplicates:
    """Compares the rows of an index."""

    def __init__(self, index: Index, mode: Mode, threshold: float) -> None:
        self._index, self._mode, self._threshold = index, mode, threshold
        self._given = index.given_splits()
        self._held = self._given > 0

    def find(self, leaks: str, observe: Observe) -> Found:
        """Everything at once. With `leaks` other than `keep`, rows that repeat one of a given validation or test split go."""
        found = Found(np.zeros(self._index.rows, np.int8), Forest(self._index.rows))
        with observe.progress("find duplicates", None, "passes") as progress:
            if self._held.any():
                self._leaking(found, leaks)
                progress.update()
            if self._mode != "off":
                self._exact(found)
                progress.update()
            self._join_groups(found)
            while self._index.bands and not self._near(found):
                progress.update()
        self._conflicts(found)
        return found

    def across(self, parts: NDArray[np.int8]) -> tuple[Mask, Mask]:
        """Masks of rows that repeat a row of a later split, and of rows that are only similar to one (part -1: none)."""
        repeats, alike = np.zeros(len(parts), bool), np.zeros(len(parts), bool)
        for rows, group in self._index.same("folded", parts < 0):
            latest = np.maximum.reduceat(parts[rows], np.searchsorted(group, np.arange(int(group[-1]) + 1)))
            repeats[rows[parts[rows] < latest[group]]] = True
        for left, right in self._index.alike(self._threshold, parts < 0):
            other = parts[left] != parts[right]
            left, right = left[other], right[other]
            lower = np.where(parts[left] < parts[right], left, right)
            same = self._same(left, right)
            repeats[lower[same]] = True
            alike[lower[~same]] = True
        return repeats, alike & ~repeats

    def _leaking(self, found: Found, policy: str) -> None:
        leaked, pairs = np.zeros(self._index.rows, bool), list[tuple[int, int]]()

        def take(rows: Rows, held: Rows) -> None:
            new = ~leaked[rows]
            leaked[rows[new]] = True
            if new.any():
                pairs.append(min(zip(rows[new].tolist(), held[new].tolist(), strict=True)))

        for rows, group in self._index.same("folded", np.zeros(self._index.rows, bool)):
            first = rows[np.searchsorted(group, group)]  # of a given validation or test split, if one is in the group
            some = self._held[first] & ~self._held[rows]
            take(rows[some], first[some])
        before = -1
        while self._index.bands and before != leaked.sum():
            before = leaked.sum()
            for left, right in self._index.alike(self._threshold, leaked):
                some = self._held[left] & ~self._held[right] & self._same(left, right)
                take(right[some], left[some])
        for rows, group in self._index.same("whole", ~self._held):
            order = np.lexsort((self._given[rows], group))
            rows, group = rows[order], group[order]
            found.repeated += int(((group[1:] == group[:-1]) & (self._given[rows[1:]] == self._given[rows[:-1]])).sum())
        found.leaks, found.first_leak = int(leaked.sum()), min(pairs, default=None)
        if policy != "keep":
            found.out[leaked] = LEAK

    def _exact(self, found: Found) -> None:
        for rows, group in self._index.same("whole", (found.out > 0) | self._held):
            answers = self._index.column("answer")[rows]
            order = np.lexsort((answers, group))  # stable: rows with one answer stay in their order
            sorted_group, sorted_answers = group[order], answers[order]
            repeats = np.concatenate(
                [[False], (sorted_group[1:] == sorted_group[:-1]) & (sorted_answers[1:] == sorted_answers[:-1])]
            )
            found.out[rows[order[repeats]]] = EXACT
            answered = np.zeros(int(group[-1]) + 1, bool)
            answered[group[answers != 0]] = True
            found.out[rows[(answers == 0) & answered[group]]] = EXACT

    def _join_groups(self, found: Found) -> None:
        """Join rows of one group, and rows whose texts are equal but for case."""
        away = (found.out > 0) | self._held
        for rows, group in self._index.same("group", away):
            found.forest.group(rows, group)
        grouped = bool((self._index.column("group") != 0).any())
        # Without groups, equal texts are drawn together anyway
        largest = _largest(away, *_EQUAL_TEXTS) if grouped else 0
        for rows, group in self._index.same("folded", away):
            found.forest.join(rows[np.searchsorted(group, group)], rows, largest)

    def _near(self, found: Found) -> bool:
        """One pass over all bands. Whether it found nothing that goes: a row that goes makes room for others."""
        away = (found.out > 0) | self._held
        forest, largest, done = found.forest.copy(), _largest(away, *_ALIKE), True
        for left, right in self._index.alike(self._threshold, away):
            goes = self._same(left, right) & ~away[right]
            if goes.any():
                done = False
                away[right[goes]] = True
                found.out[right[goes]] = NEAR
            stay = ~away[left] & ~away[right]
            forest.join(left[stay], right[stay], largest)
        if done:
            found.forest = forest
        return done

    def _same(self, left: Rows, right: Rows) -> Mask:
        """Whether the right row of each pair with similar words adds nothing new."""
        equal, unlabelled = dict[str, Mask](), self._index.column("answer")[right] == 0
        for name in ("target", "answer", "letters", "signs"):
            column = self._index.column(name)  # mapped for this look alone: pages that were read count as memory
            equal[name] = column[left] == column[right]
        return np.asarray(equal["target"] & (equal["answer"] | unlabelled) & ~(equal["letters"] & ~equal["signs"]))

    def _conflicts(self, found: Found) -> None:
        for name in ("answer", "target"):
            count = 0
            for rows, group in self._index.same("text", found.out > 0):
                values = self._index.column(name)[rows]
                some = values != 0
                rows, of, values = rows[some], group[some], values[some]
                order = np.lexsort((values, of))
                of, values = of[order], values[order]
                differs = (of[1:] == of[:-1]) & (values[1:] != values[:-1])
                torn = np.zeros(int(group[-1]) + 1, bool)
                torn[of[1:][differs]] = True
                count += int(torn[of].sum())
            if count:
                found.conflicts["label" if name == "answer" else "target"] = count


def _largest(away: Mask, share: float, least: int) -> int:
    return max(least, int((~away).sum() * share))
