"""The split of each row: as it came, or drawn, so that rows that belong together never part; and which labels stay.

A split that the data brings is taken as it is. What is missing is drawn from the rows for training: from train and test, a
validation split. Each split is drawn by hash of the group or text; where it would lack a label, or all rows, the smallest
set of rows moves there from train. A label that cannot be in every split is taken from its rows: they are text to train on then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artifacts.corpus import SPLITS
from artifacts.errors import UserError
from steps.prepare_data.near_duplicates import Mask
from steps.prepare_data.rows import draw_of

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from steps.prepare_data.forest import Forest
    from steps.prepare_data.near_duplicates import Rows

TRAIN, VALIDATION, TEST = range(3)
NONE, OVER_LIMIT, TOO_RARE = range(3)
LABEL_REASONS = ("none", "over max_rows_per_label", "too rare")
_FEW = 10  # rows of a label, or fewer, that are of one group alone do not stop a run
_FIRST = 1000  # rows that are looked at first for as many sets as there are splits
_STRETCHES = 20  # parts into which a document is divided that would fill all splits alone

Numbers = NDArray[np.int32]  # of rows: half of the memory that numpy's own choice takes


@dataclass
class Rowset:
    """The columns that a plan is made from: of every row that was read, whether it stays, and its label."""

    stays: Mask
    given: NDArray[np.int8]  # a place in SPLITS; -1: none
    place: NDArray[np.uint64]  # where its own group or text is drawn
    label: NDArray[np.int32]  # a number; -1: none
    part: Mask  # whether it is a part of a longer text
    forest: Forest


@dataclass
class Plan:
    """The split of each row (-1: none), and why it lost its label (a place in LABEL_REASONS)."""

    parts: NDArray[np.int8]
    lost: NDArray[np.int8]
    divided: int = 0  # documents whose parts are in several splits, because there were too few documents


def plan(rows: Rowset, config: Config, labels: list[str], *, classes: bool) -> Plan:
    """Draw the splits. `classes`: labels are the training target. UserError if a split must stay empty."""
    made = Plan(np.where(rows.stays, rows.given, -1).astype(np.int8), np.zeros(len(rows.stays), np.int8))
    brought = set(np.unique(rows.given[rows.stays & (rows.given >= 0)]).tolist())
    drawn = [split for split in (VALIDATION, TEST) if split not in brought]
    open_rows = np.flatnonzero(rows.stays & (rows.given <= 0)).astype(np.int32)
    if classes:
        _strip_rare(made, rows, open_rows, config.min_rows_per_label)
        _strip_over_limit(made, rows, open_rows, config.max_rows_per_label)
    sets = _sets(made, rows, open_rows, 1 + len(drawn))
    test = config.test_share if TEST in drawn else 0.0
    validation = config.validation_share if VALIDATION in drawn else 0.0
    made.parts[open_rows] = TRAIN
    for split, share in ((VALIDATION, test + validation), (TEST, test)):
        made.parts[open_rows[sets.places / 2**64 < share]] = split
    wanted: list[int] = [TRAIN, *drawn]
    for split in wanted:
        if not (made.parts == split).any():
            sets.fill(made.parts, split, np.arange(len(open_rows)))
    if classes and drawn:
        _spread_labels(made, sets, rows.label, labels, wanted, config, must=not brought)
    return made


class _Sets:
    """The sets of rows that are drawn: of each open row the first row of its set, and where that set is drawn."""

    def __init__(self, rows: Numbers, roots: Numbers, places: NDArray[np.uint64]) -> None:
        self.rows, self.roots, self.places = rows, roots, places
        self._order = np.argsort(roots, kind="stable").astype(np.int32)
        self._sorted: Numbers = roots[self._order]

    def fill(self, parts: NDArray[np.int8], split: int, own: Rows | Numbers) -> bool:
        """Move the smallest set with one of `own` (numbers of open rows) to a split, from one that keeps another."""
        for source in (TRAIN, VALIDATION, TEST):
            there = own[parts[self.rows[own]] == source]
            found, first = np.unique(self.roots[there], return_index=True)
            if source == split or len(found) < 2:
                continue
            left, right = (np.searchsorted(self._sorted, found, side) for side in ("left", "right"))
            chosen = int(np.lexsort((self.places[there[first]], right - left))[0])
            parts[self.rows[self._order[left[chosen] : right[chosen]]]] = split
            return True
        return False


def _sets(made: Plan, rows: Rowset, open_rows: Numbers, needed: int) -> _Sets:
    """The sets of the open rows. A document that would leave no other split a row is divided into stretches of its parts."""
    roots = rows.forest.roots(open_rows)
    places = np.asarray(rows.place[roots])
    several = np.unique(roots[:_FIRST])
    several = several if len(several) >= needed else np.unique(roots)
    for root in several.tolist() if len(several) < needed else ():
        members = np.flatnonzero(roots == root)
        if len(members) < 2 or not rows.part[open_rows[members]].all():
            continue
        made.divided += 1
        size = -(-len(members) // _STRETCHES)
        stretches = [members[start : start + size] for start in range(0, len(members), size)]
        drawn = [draw_of(f"{int(rows.place[root])}/{number}", 0) for number in range(len(stretches))]
        # Evenly from 0 to 2^64: so few draws could leave a split nearly empty.
        for stretch, rank in zip(stretches, np.argsort(np.argsort(drawn)).tolist(), strict=True):
            roots[stretch] = open_rows[stretch[0]]
            places[stretch] = (2 * rank + 1) * 2**63 // len(stretches)
    return _Sets(open_rows, roots, places)


def _strip_rare(made: Plan, rows: Rowset, open_rows: Numbers, least: int) -> None:
    labelled = open_rows[rows.label[open_rows] >= 0]
    counts = np.bincount(rows.label[labelled], minlength=1)
    made.lost[labelled[counts[rows.label[labelled]] < least]] = TOO_RARE


def _strip_over_limit(made: Plan, rows: Rowset, open_rows: Numbers, limit: int) -> None:
    """Strip a label with more than `limit` rows from some, evenly between its first row and its last."""
    own = open_rows[(rows.label[open_rows] >= 0) & (made.lost[open_rows] == NONE)]
    if not limit or not len(own):
        return
    own = own[np.argsort(rows.label[own], kind="stable")]
    _, starts, of, totals = np.unique(rows.label[own], return_index=True, return_inverse=True, return_counts=True)
    seen, total = np.arange(len(own)) - starts[of], totals[of]
    made.lost[own[(total > limit) & ((seen + 1) * limit // total <= seen * limit // total)]] = OVER_LIMIT


def _spread_labels(
    made: Plan,
    sets: _Sets,
    label: NDArray[np.int32],
    labels: list[str],
    wanted: list[int],
    config: Config,
    *,
    must: bool,
) -> None:
    """Move sets so that each label is in every drawn split. Where that cannot be and `must`, take the label away."""
    has = np.where(made.lost[sets.rows] == NONE, label[sets.rows], -1)
    order = np.argsort(has, kind="stable").astype(np.int32)
    present, starts = np.unique(has[order], return_index=True)
    for number, own in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
        if number < 0:
            continue
        for split in wanted:
            if (made.parts[sets.rows[own]] == split).any() or sets.fill(made.parts, split, own) or not must:
                continue
            if len(own) > _FEW:
                raise UserError(
                    f"source {config.source!r}: no row of label {labels[number]!r} in the split {SPLITS[split]}: its "
                    f"{len(own):,} rows are in {len(np.unique(sets.roots[own]))} groups, which never part; give more groups of "
                    "it, or no group_column"
                )
            made.lost[sets.rows[own]] = TOO_RARE
            break
