"""Rows of Parquet files, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import UserError
from steps.prepare_data.columns import Columns, Missing, missing_in, refuse_twice, value_at
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row, bad, place_of
from steps.prepare_data.values import row_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS = 1024


def read(path: Path, reading: Reading) -> Iterator[Row | Bad]:
    """Rows of one file. UserError for one that is no Parquet file or is damaged."""
    wanted = [column for _, column in reading.columns.parameter_columns()]
    number = 0
    with _open_parquet(path) as file:
        for batch in _batches(path, file, wanted):
            for values in _rows(batch):
                number += 1
                place = place_of(path, number)
                if isinstance(values, dict):
                    yield row_of(values, reading.columns, place, reading.numbers)
                else:
                    yield bad(values, place, "")


def missing(path: Path, columns: Columns) -> list[Missing]:
    """Columns that the file lacks, by its schema."""
    with _open_parquet(path) as file:
        return missing_in(path, _names(file.schema_arrow), columns)


def values(path: Path, column: str) -> Iterator[Any]:
    """All values of a column that holds floats; nothing of others."""
    import pyarrow as pa

    with _open_parquet(path) as file:
        if not any(pa.types.is_floating(kind) for kind in _types(file.schema_arrow, column)):
            return
        for batch in _batches(path, file, [column]):
            for row in _rows(batch):
                if isinstance(row, dict):
                    yield value_at(row, column)


@contextmanager
def _open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix in (".gz", ".zst"):
        raise UserError(f"{path}: Parquet is compressed within; give the plain .parquet file", 2)
    try:
        # Page by page, never whole columns; pages with checksums are checked.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise
        raise UserError(f"{path}: not Parquet, or cut off ({_line(error)}); fetch or write it again") from None
    with file:
        refuse_twice(path, file.schema_arrow.names)
        yield file


def _batches(path: Path, file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        yield from file.iter_batches(_ROWS, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged Parquet ({_line(error)}); fetch or write it again") from None


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """The rows of a batch; for one with a value that cannot be read, the reason."""
    try:
        yield from batch.to_pylist()
        return
    except (
        ValueError,
        OverflowError,
        ArithmeticError,
    ):  # bytes that are no UTF-8, a time beyond the years that Python has
        pass
    for place in range(batch.num_rows):
        try:
            yield batch.slice(place, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield "not UTF-8"
        except (ValueError, OverflowError, ArithmeticError):
            yield "a value that cannot be read"


def _names(schema: pa.Schema) -> list[str]:
    """Every column, nested ones with dots."""

    def within(fields: Any, prefix: str) -> Iterator[str]:
        import pyarrow as pa

        for field in fields:
            yield prefix + field.name
            if pa.types.is_struct(field.type):
                yield from within(field.type, f"{prefix}{field.name}.")

    return list(within(schema, ""))


def _types(schema: pa.Schema, column: str) -> list[pa.DataType]:
    """The types that a name can stand for: of the column with this very name, and of the nested one."""
    import pyarrow as pa

    if column in schema.names:
        return [schema.field(column).type]
    fields: Any = schema
    kind: pa.DataType | None = None
    for part in column.split("."):
        kind = next((field.type for field in fields if field.name == part), None)
        fields = kind if kind is not None and pa.types.is_struct(kind) else ()
    return [kind] if kind is not None else []


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
