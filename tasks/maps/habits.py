"""The habit of an attention head, in a word.

Clark et al. 2019, "What Does BERT Look At?" (arXiv 1906.04341), section 3, found such habits in BERT: heads that look at the
next or the previous token, at [SEP], or at many tokens alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOSTLY = 0.35  # share of a head's looks that makes a habit


@dataclass(frozen=True)
class Habit:
    """`share` of the looks go where `name` says; where nothing has enough of them, the name is `spread`."""

    name: str
    share: float
    breadth: float  # tokens looked at: e to the entropy, so n where n tokens are looked at alike

    def __str__(self) -> str:
        return f"over {self.breadth:.1f} tokens" if self.name == "spread" else f"{self.name} {self.share:.0%}"


def habit(weights: NDArray[np.float32], rows: Sequence[str], columns: Sequence[str]) -> Habit:
    """Habit of a map [T, S] with these names of rows and columns; "before" is defined only if they are the same."""
    shares = shares_of(weights, columns, square=list(rows) == list(columns))
    name = max(shares, key=shares.__getitem__)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(weights > 0, weights * np.log(weights), 0).sum(-1)
    breadth = float(np.exp(entropy).mean())
    return Habit(name, shares[name], breadth) if shares[name] >= _MOSTLY else Habit("spread", 0.0, breadth)


def shares_of(weights: NDArray[np.float32], columns: Sequence[str], *, square: bool) -> dict[str, float]:
    """Shares of the looks, the mean over the rows that can look there: at the favourite token, and at neighbours."""
    favourite = int(weights.mean(0).argmax())
    shares = {f"at {columns[favourite].strip() or 'space'}": float(weights[:, favourite].mean())}
    if square and len(weights) > 1:
        shares |= {
            "at itself": float(np.diagonal(weights).mean()),
            "one before": float(np.diagonal(weights, -1).mean()),
            "one after": float(np.diagonal(weights, 1).mean()),
        }
    return shares
