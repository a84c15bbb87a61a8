"""Per-update log of row ids and losses, used to trace a loss spike back to its data.

    <work>/updates.jsonl         while it trains: a line an update, so that a kill loses none that was made
    sidecars/updates.parquet     once it is done: the same as a table, a row an update

A row is named by its id in the corpus, and by its part: a long row is split into several. Loss, gradient norm and rows are
the same in every run of the same training; seconds, times and the ids of trace and span are of the process that made the
update. So nothing of it counts for a digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from telemetry.line_file import LineFile

if TYPE_CHECKING:
    import pyarrow as pa

LINES, TABLE = "updates.jsonl", "updates.parquet"
_CHUNK = 5000  # updates in memory at a time, and in a row group of the table


@dataclass(frozen=True)
class Entry:
    """One update. `ended_at` is in seconds since 1970; the ids are hex, and empty if no telemetry was recorded."""

    update: int
    loss: float
    gradient_norm: float
    seconds: float
    ended_at: float
    trace_id: str
    span_id: str
    rows: list[str]
    parts: list[int]
    blocks: list[int] = field(default_factory=list)  # with `packing`: how many of the rows each block holds


class UpdateLog:
    """The lines of one training that is under way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: LineFile | None = None

    def go_on_after(self, update: int) -> int:
        """Open it, and forget what came after `update`: a resumed training makes those again. Returns how many up to
        there it lacks, which only a damaged disk can bring about."""
        self._file = LineFile(self.path)
        kept, end = 0, 0
        for entry, after in _entries(self.path):
            if entry.update > update:
                break
            kept, end = kept + 1, after
        self._file.truncate(end)
        return update - kept

    def add(self, entry: Entry) -> None:
        """Append an update in one write: it outlives the process from here on. OSError on a full disk, which leaves none of it."""
        assert self._file is not None
        line = json.dumps(list(vars(entry).values()), separators=(",", ":"))  # `astuple` would copy every row's id
        self._file.add(line.encode() + b"\n")

    def sync(self) -> None:
        """Wait until it is on the disk. A checkpoint must not be there without the updates before it."""
        atomic.sync(self.path)

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()


def write_table(lines: Path, table: Path) -> None:
    """Write a training's lines as the compact table."""
    import pyarrow.parquet as pq

    options: dict[str, Any] = {"compression": "zstd", "version": "2.6", "dictionary_pagesize_limit": 16 << 20}
    with pq.ParquetWriter(table, _schema(), **options) as writer:
        for chunk in _tables(lines):
            writer.write_table(chunk)


@dataclass(frozen=True)
class Updates:
    """Reads a record, from the lines of a training under way or from the table of a finished one."""

    path: Path

    @classmethod
    def within(cls, folder: Path) -> Updates | None:
        """The record in a folder, or None."""
        candidates = (folder / name for name in (TABLE, LINES))
        return next((cls(path) for path in candidates if path.is_file()), None)

    def curve(self, column: str) -> tuple[list[int], list[float]]:
        """All updates, and a number of each: `loss`, `gradient_norm`, `seconds`."""
        read = self._read(["update", column])
        return read["update"].to_pylist(), read[column].to_pylist()

    def between(self, first: int, last: int) -> list[Entry]:
        """The updates from `first` to `last`."""
        names = [part.name for part in fields(Entry)]
        return [Entry(**row) for row in self._read(names, first, last).to_pylist()]

    def _read(self, columns: list[str], first: int = 0, last: int = 1 << 31) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        wanted = (pc.field("update") >= first) & (pc.field("update") <= last)
        if self.path.suffix == ".parquet":
            present = set(pq.read_schema(self.path).names)  # an earlier version's has no blocks
            return pq.read_table(self.path, columns=[name for name in columns if name in present], filters=wanted)
        chunks = [chunk.filter(wanted).select(columns) for chunk in _tables(self.path)]
        return pa.concat_tables(chunks) if chunks else _schema().empty_table().select(columns)


def _schema() -> pa.Schema:
    import pyarrow as pa

    numbers = {"update": pa.int32(), "loss": pa.float32(), "gradient_norm": pa.float32(), "seconds": pa.float32()}
    ids = {"ended_at": pa.float64(), "trace_id": pa.string(), "span_id": pa.string()}
    lists = {"rows": pa.list_(pa.string()), "parts": pa.list_(pa.int32()), "blocks": pa.list_(pa.int32())}
    return pa.schema(numbers | ids | lists)


def _tables(lines: Path) -> Iterator[pa.Table]:
    import pyarrow as pa

    chunk: list[dict[str, Any]] = []
    for entry, _ in _entries(lines):
        chunk.append(vars(entry))
        if len(chunk) == _CHUNK:
            yield pa.Table.from_pylist(chunk, _schema())
            chunk = []
    if chunk:
        yield pa.Table.from_pylist(chunk, _schema())


def _entries(path: Path) -> Iterator[tuple[Entry, int]]:
    """Each update and where its line ends, up to the first line that is none: a power cut can tear the last."""
    end, before = 0, 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            try:
                entry = Entry(*json.loads(line))
            except (ValueError, TypeError):
                return
            if not line.endswith(b"\n") or not entry.update > before:
                return
            before = entry.update
            yield entry, end
