"""State that the readers of a source share: columns, quoting, and results known only at the end of the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steps.prepare_data.columns import ABSENT, Columns, Missing, join_names, nested_names, value_at
from steps.prepare_data.values import AS_THEY_STAND, Numbers

if TYPE_CHECKING:
    from telemetry import Observe

_NAMES = 200  # columns that are kept for an error
_OPTIONAL = ("label_column", "group_column", "spans_column")  # a row without the others is bad, or an error

Quoting = Literal["auto", "csv", "none"]


class Seen:
    """Columns that the rows of a file have, of a kind of file whose rows can differ."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path, self._named = path, columns.parameter_columns()
        self._optional = [pair for pair in self._named if pair[0] in _OPTIONAL]
        self.wanted = list(self._named)  # those that no row had so far
        self._names: dict[str, None] = {}  # of a file that lacks some
        self.rows = 0

    def add(self, item: dict[str, Any]) -> None:
        """Look at a row."""
        self.rows += 1
        if self.wanted:
            self.wanted = [pair for pair in self.wanted if value_at(item, pair[1]) is ABSENT]
        if self.wanted and len(self._names) < _NAMES:
            self._names |= dict.fromkeys(nested_names(item))

    def absent_from(self, item: dict[str, Any]) -> list[tuple[str, str]]:
        """Columns that a row lacks though it can be used without them."""
        return [pair for pair in self._optional if pair[1] not in item and value_at(item, pair[1]) is ABSENT]

    def missing(self) -> Missing | None:
        """The columns that no row had; None if there are no rows, or each column is in one of them."""
        if not self.rows or not self.wanted:
            return None
        return Missing(str(self._path), tuple(self.wanted), tuple(self._names))


class Absent:
    """Rows without a column that other rows of their file have, counted by parameter, with the first of each."""

    def __init__(self) -> None:
        self.rows = 0  # of all files whose rows can lack a column
        self.counts: Counter[str] = Counter()
        self._first: dict[str, tuple[str, str, str]] = {}  # column, place, columns that it has

    def add(self, parameter: str, column: str, place: str, values: Mapping[str, Any]) -> None:
        """Count a row."""
        self.counts[parameter] += 1
        if parameter not in self._first:
            self._first[parameter] = (column, place, join_names(nested_names(values)))

    def merge(self, other: Absent, prefix: str) -> None:
        """Add the columns that another source lacks, with `prefix` before its places."""
        self.rows += other.rows
        self.counts.update(other.counts)
        for parameter, (column, place, names) in other._first.items():
            self._first.setdefault(parameter, (column, f"{prefix}{place}", names))

    def log(self, observe: Observe) -> None:
        """One warning for each column that rows lack."""
        for parameter, count in self.counts.items():
            column, place, names = self._first[parameter]
            observe.log(
                "corpus.absent",
                f"{column!r} ({parameter}) missing in {count} of {self.rows} rows, the first at {place}; it has {names}",
                level="warning",
            )

    def as_json(self) -> dict[str, Any]:
        """Entry of corpus.json: the number of rows that lack each column, and the first; empty if none lacks any."""
        found = {name: {"count": self.counts[name], "first": self._first[name][1]} for name in sorted(self.counts)}
        return {"rows_without": found} if found else {}


@dataclass
class Reading:
    """Options of the readers, and their findings."""

    columns: Columns
    quoting: Quoting = "auto"
    numbers: Numbers = AS_THEY_STAND
    absent: Absent = field(default_factory=Absent)
    missing: list[Missing] = field(default_factory=list)
    prefix: str = ""  # of places, which says where the files lie
