"""Sets of rows that belong together: a union-find over row numbers, in which the first row of a set stands for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Forest:
    """Sets of rows. Costs 8 bytes a row."""

    def __init__(self, rows: int) -> None:
        self._parent: NDArray[np.int32] = np.arange(rows, dtype=np.int32)
        self._sizes: NDArray[np.int32] = np.ones(rows, np.int32)

    def copy(self) -> Forest:
        """The same sets, which may grow apart from these."""
        other = Forest(0)
        other._parent, other._sizes = self._parent.copy(), self._sizes.copy()
        return other

    def group(self, rows: Rows, group: Rows) -> None:
        """Join rows that have the same number in `group`; the numbers rise from 0. Before any `join`."""
        starts = np.searchsorted(group, np.arange(int(group[-1]) + 1))
        firsts = np.minimum.reduceat(rows, starts)
        self._parent[rows] = firsts[group]
        self._sizes[firsts] = np.diff([*starts, len(rows)])

    def join(self, left: Rows, right: Rows, largest: int = 0) -> None:
        """Join pairs of rows, each pair unless the set would be larger than `largest` (0: no limit)."""
        one, other = self.roots(left), self.roots(right)
        apart = one != other
        if not apart.any():
            return
        for a, b in np.unique(np.stack([one[apart], other[apart]], 1), axis=0).tolist():
            a, b = sorted((self._root(a), self._root(b)))
            if a != b and not (largest and self._sizes[a] + self._sizes[b] > largest):
                self._parent[b] = a
                self._sizes[a] += self._sizes[b]

    def roots(self, rows: Rows | NDArray[np.int32]) -> NDArray[np.int32]:
        """The first row of the set of each of these."""
        found = self._parent[rows]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                return found
            found = above

    def _root(self, row: int) -> int:
        while (above := int(self._parent[row])) != row:
            self._parent[row] = row = int(self._parent[above])
        return row
