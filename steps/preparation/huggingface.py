"""`hf:name`: a data set of the Hugging Face hub, or a local folder of one. Streamed, and never with remote code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from steps.contract import UserError
from steps.preparation.files import Columns, row_of
from steps.preparation.rows import Bad, Row


def read(name: str, config: str, split: str, columns: Columns) -> Iterator[Row | Bad]:
    """Rows of one split, in its order."""
    import datasets

    try:
        data = datasets.load_dataset(name, config or None, split=split, streaming=True)
    except (ValueError, OSError, RuntimeError) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"source hf:{name}: {line}; check its name, hf_config and hf_split") from None
    label_names = _label_names(data, columns.label)
    shown = Path(name).name if Path(name).is_dir() else name  # where a folder lies is no part of its content
    for number, values in enumerate(_values(data, name), 1):
        for parameter, column in columns.named():
            if column not in values:
                raise UserError(f"source hf:{name}: no column {column!r} ({parameter}); it has {', '.join(values)}")
        label = values.get(columns.label)
        if label is not None and label_names:  # the hub writes -1 for a hidden label
            values = {**values, columns.label: label_names[int(label)] if int(label) >= 0 else None}
        yield row_of(values, columns, f"hf:{shown}/{split}:{number}")


def _values(data: Iterable[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    try:
        yield from data
    except (ValueError, OSError, RuntimeError) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"source hf:{name}: reading it failed: {line}") from None


def _label_names(data: object, column: str) -> list[str]:
    feature = (getattr(data, "features", None) or {}).get(column)
    return list(getattr(feature, "names", None) or [])
