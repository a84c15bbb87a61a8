"""A Corpus: rows of text in three splits, as Parquet that is read as a stream.

train.parquet validation.parquet test.parquet    columns id, text, label (may be null), group (may be null), and by content
                                                 target (of a pair), spans (marked places, JSON) or image (a PNG file)
quarantine.parquet                               rows that were left out: reason, place, first characters
corpus.json                                      labels, licence, source, statistics, what was left out, leak check

A text over `max_characters` is several rows, one behind another: `a.txt:7#1+`, `a.txt:7#2+`, `a.txt:7#3`. Joined they are the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from artifacts import atomic
from artifacts.artifact import Artifact, ArtifactError

if TYPE_CHECKING:
    import pyarrow as pa

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_BATCH_ROWS = 1024


def part_id(row_id: str, number: int, *, last: bool) -> str:
    """The id of a part of a row, from 1; only the last one has no plus sign."""
    return f"{row_id}#{number}" + ("" if last else "+")


def goes_on(row_id: str) -> bool:
    """Whether the text of a row goes on in the next row."""
    start, _, number = row_id.rpartition("#")
    return bool(start) and number.endswith("+") and number[:-1].isdecimal()


class Corpus:
    """Reads a corpus; memory does not grow with it."""

    def __init__(self, artifact: Artifact) -> None:
        if artifact.kind != "corpus":
            raise ArtifactError(f"{artifact.path}: a {artifact.kind}, where a corpus is needed")
        self.artifact = artifact
        self.info: dict[str, Any] = atomic.read_json(artifact.file("corpus.json"))

    @property
    def labels(self) -> list[str]:
        """The labels in their fixed order; empty for a corpus without labels."""
        return list(self.info["labels"])

    def count(self, split: str) -> int:
        """Rows in a split."""
        return int(self.info["rows"][split])

    def batches(
        self, split: str, columns: Sequence[str] | None = None, rows: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The split's rows in order, `rows` at a time."""
        import pyarrow.parquet as pq

        # Without pre_buffer=False, Arrow reads the whole file ahead.
        with pq.ParquetFile(self.artifact.file(f"{split}.parquet"), pre_buffer=False) as file:
            yield from file.iter_batches(rows, columns=list(columns) if columns else None)

    def rows(self, split: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The split's rows in order, one at a time."""
        for batch in self.batches(split, columns):
            yield from batch.to_pylist()

    def texts(self, split: str) -> Iterator[str]:
        """The split's texts in order."""
        for batch in self.batches(split, ["text"]):
            yield from batch.column("text").to_pylist()

    def text_rows(self, split: str) -> Iterator[tuple[str, ...]]:
        """The texts of each row of a split: the text alone, or text and target for pairs."""
        columns = ["text", "target"] if self.info.get("content") == "pairs" else ["text"]
        for batch in self.batches(split, columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)

    def only(self, ids: Iterable[str]) -> Corpus:
        """The same corpus with these rows alone, in their order."""
        return _Some(self.artifact, ids)

    def take(self, split: str, ids: Iterable[str]) -> dict[str, str]:
        """Texts of these rows, by id."""
        wanted = set(ids)
        return {row["id"]: row["text"] for row in self.rows(split, ["id", "text"]) if row["id"] in wanted}


class _Some(Corpus):
    def __init__(self, artifact: Artifact, ids: Iterable[str]) -> None:
        super().__init__(artifact)
        self._ids = sorted(set(ids))

    def batches(
        self, split: str, columns: Sequence[str] | None = None, rows: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pa.array(self._ids, pa.string())
        for batch in super().batches(split, [*columns, "id"] if columns and "id" not in columns else columns, rows):
            matching = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            if matching.num_rows:
                yield matching.select(list(columns)) if columns else matching
