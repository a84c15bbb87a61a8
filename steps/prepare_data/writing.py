"""Parquet files that are the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from steps.prepare_data.rows import Bad, Row

_ROWS = pa.schema([("id", pa.string()), ("text", pa.string()), ("label", pa.string()), ("group", pa.string())])
_MORE = {
    "pairs": pa.field("target", pa.string()),
    "spans": pa.field("spans", pa.string()),
    "images": pa.field("image", pa.binary()),
}
QUARANTINE = pa.schema([("reason", pa.string()), ("place", pa.string()), ("start", pa.string())])
_GROUP_BYTES = 2 << 20  # text in a row group: what a reader holds at once


def columns_of(content: str) -> pa.Schema:
    """The columns of a corpus of `text`, `pairs`, `spans` or `images`."""
    return _ROWS.append(_MORE[content]) if content in _MORE else _ROWS


class Writer:
    """Appends rows to one Parquet file; holds a few megabytes of them."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=3, version="2.6")
        self._rows: list[Row | Bad] = []
        self._bytes = 0
        self.count = 0

    def add(self, row: Row | Bad) -> None:
        """Append one row."""
        self._rows.append(row)
        self._bytes += 64 + (_size(row) if isinstance(row, Row) else len(row.start))
        self.count += 1
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = [[getattr(row, name) for row in self._rows] for name in self._schema.names]
        self._writer.write_table(pa.table(columns, self._schema))
        self._rows, self._bytes = [], 0


def _size(row: Row) -> int:
    return len(row.text) + len(row.target or "") + len(row.spans or "") + len(row.image or b"")
