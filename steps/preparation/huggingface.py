"""`hf:name`: a data set of the Hugging Face hub, or a local folder of one. Streamed, and never with remote code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from steps.contract import UserError
from steps.preparation.files import Columns, spans_of
from steps.preparation.rows import Bad, Row, bad
from steps.preparation.spans import SpansError


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
        place = f"hf:{shown}/{split}:{number}"
        if not isinstance(values[columns.text], str):
            yield bad("no text", place, str(values[columns.text]))
            continue
        label = values.get(columns.label) if columns.label else None
        if label is not None and label_names:
            label = label_names[int(label)] if int(label) >= 0 else None  # the hub writes -1 for a hidden label
        group = values.get(columns.group) if columns.group else None
        target = values.get(columns.target) if columns.target else None
        if columns.target and not isinstance(target, str):
            yield bad("no target", place, str(target))
            continue
        try:
            marked = spans_of(values.get(columns.spans), values[columns.text]) if columns.spans else None
        except SpansError as error:
            yield bad(str(error), place, values[columns.text])
            continue
        yield Row(
            place, values[columns.text], None if label is None else str(label), None if group is None else str(group),
            target, spans=marked,
        )  # fmt: skip


def _values(data: Iterable[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    try:
        yield from data
    except (ValueError, OSError, RuntimeError) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"source hf:{name}: reading it failed: {line}") from None


def _label_names(data: object, column: str) -> list[str]:
    feature = (getattr(data, "features", None) or {}).get(column)
    return list(getattr(feature, "names", None) or [])
