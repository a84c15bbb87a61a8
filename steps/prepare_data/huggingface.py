"""`hf:name`: a data set of the Hugging Face hub, or a local folder of one. Streamed, and never with remote code.

Text files of a local folder are read by our own readers, CSV files of the hub as text: `007` and `NA` are labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artifacts.errors import UserError
from artifacts.manifest import ManifestError, check_links, hub_blobs
from steps.prepare_data import files, json_lines
from steps.prepare_data.columns import ABSENT, missing_in, nested_names, refuse_missing, value_at
from steps.prepare_data.given_splits import given_split
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row
from steps.prepare_data.values import row_of

_OWN = {
    "csv": (".csv", ".tsv"),
    "json": (".jsonl", ".json"),
    "text": (".txt",),
}  # by builder, the files that we read ourselves
_NOT_OPTIONS = {"name", "version", "data_dir", "data_files", "description", "sep", "delimiter"}


class DataSet:
    """One configuration of a data set at one revision."""

    def __init__(self, name: str, config: str, revision: str = "") -> None:
        import datasets
        import pyarrow as pa

        self.name = name
        self._shown = Path(name).name if Path(name).is_dir() else name  # where a folder lies is no part of its content
        # ImportError: a column of sound or video, for which the library needs another one.
        self._errors = (
            ValueError, OSError, RuntimeError, KeyError, TypeError, ImportError, datasets.exceptions.DatasetsError,
            pa.ArrowException,
        )  # fmt: skip
        _check_folder(Path(name))
        try:
            self._builder = datasets.load_dataset_builder(name, config or None, revision=revision or None)
            if hasattr(self._builder.config, "keep_default_na") and self._builder.config.features is None:
                self._builder.config.dtype, self._builder.config.keep_default_na = str, False
            known = self._builder.config.data_files or self._builder.as_streaming_dataset()
            self.splits = [str(split) for split in known]
        except self._errors as error:
            raise UserError(f"source hf:{name}: {_line(error)}; check its name, hf_config and hf_revision") from None
        _check_folder(Path(name), self._builder.config.data_files)

    def splits_to_read(self, split: str, role: str = "") -> dict[str, str | None]:
        """The splits to read and the split that each becomes; None if all rows are drawn by hash.

        A named split is read alone. Else these are its own splits if it has one to train on and one to test on, else train.
        The rows for training come last, so that max_rows cuts none but these.
        For `role`, one split of a corpus that has a source for each, it is the split of that name, or the only one.
        """
        own = {part: name for name in reversed(self.splits) if (part := given_split(name))}
        if split:
            if split not in self.splits:
                raise UserError(
                    f"source hf:{self.name}: no split {split!r}; hf_split can be {', '.join(self.splits)}", 2
                )
            return {split: None}
        if not role and "train" in own and "test" in own:
            return {own[part]: part for part in ("test", "validation", "train") if part in own}
        name = own.get(role or "train") or (self.splits[0] if len(self.splits) == 1 else None)
        if name is None:
            raise UserError(f"source hf:{self.name}: which split? Set hf_split to one of {', '.join(self.splits)}", 2)
        return {name: None}

    def rows(self, split: str, reading: Reading) -> Iterator[Row | Bad]:
        """Rows of one split, in its order."""
        paths = self._own_files(split)
        if paths:
            yield from files.read(paths, reading.columns, reading, root=Path(self.name))
            return
        columns, features = reading.columns, self._features(split)
        for number, values in enumerate(self._values(split), 1):
            if number == 1:
                names = list(nested_names(features or values))
                refuse_missing(missing_in(f"source hf:{self.name}", names, columns))
            place = f"hf:{self._shown}/{split}:{number}"
            wanted = {column: value_at(values, column) for _, column in columns.parameter_columns()}
            for column in {columns.label, columns.group} & set(wanted):
                wanted[column] = self._class_name(features, column, wanted[column], place)
            found = {column: value for column, value in wanted.items() if value is not ABSENT}
            yield row_of(found, columns, place, reading.numbers)

    def values(self, split: str, column: str) -> Iterator[Any]:
        """All values of a column that can hold floats; nothing of others."""
        paths = self._own_files(split)
        if paths:
            yield from files.values(paths, column)
        elif str(getattr(_feature(self._features(split), column), "dtype", "float")).startswith("float"):
            yield from (value_at(values, column) for values in self._values(split))

    def _values(self, split: str) -> Iterator[dict[str, Any]]:
        try:
            yield from self._builder.as_streaming_dataset(split=split)
        except self._errors as error:
            raise self._read_error(split, error) from None

    def _features(self, split: str) -> dict[str, Any]:
        try:
            features = self._builder.info.features or self._builder.as_streaming_dataset(split=split).features
        except self._errors as error:
            raise self._read_error(split, error) from None
        return dict(features or {})

    def _read_error(self, split: str, error: Exception) -> UserError:
        return UserError(f"source hf:{self.name}: reading its split {split} failed: {_line(error)}")

    def _class_name(self, features: dict[str, Any], column: str, value: Any, place: str) -> Any:
        """The name of a class that is a number; None for -1, which stands for a hidden label."""
        names = getattr(_feature(features, column), "names", None)
        if not names or not isinstance(value, int) or value == -1:
            return None if names and value == -1 else value
        if not 0 <= value < len(names):
            raise UserError(f"{place}: {column!r} is {value}, but the data set names {len(names)} classes")
        return names[value]

    def _own_files(self, split: str) -> list[Path]:
        """The files of a split, if all are local text files as we read them, without options or features of their own."""
        config, builder = self._builder.config, type(self._builder).__mro__[1].__name__.lower()
        kinds = _OWN.get(builder) or _OWN.get(type(self._builder).__name__.lower(), ())
        paths = [Path(str(path)) for path in (config.data_files or {}).get(split, [])]
        if not Path(self.name).is_dir() or not all(path.is_file() and files.kind_of(path) in kinds for path in paths):
            return []
        plain = type(config)()
        options = [
            field.name
            for field in dataclasses.fields(config)
            if field.name not in _NOT_OPTIONS | {"dtype", "keep_default_na"}
        ]
        if self._builder.info.features or any(getattr(config, name) != getattr(plain, name) for name in options):
            return []
        if any(files.kind_of(path) == ".json" and not json_lines.has_lines(path) for path in paths):
            return []
        separators = {".csv": ",", ".tsv": "\t"}
        same = all(getattr(config, "sep", None) == separators.get(files.kind_of(path)) for path in paths)
        return paths if same else []


def _feature(features: dict[str, Any], column: str) -> Any:
    found = value_at(features, column)
    return None if found is ABSENT else found


def _check_folder(folder: Path, named: Any = None) -> None:
    """UserError if a local folder, or a file that its own description names, leads out of it."""
    if not folder.is_dir():
        return
    roots = (folder.resolve(), *hub_blobs(folder))
    try:
        check_links(folder, roots[1:])
    except ManifestError as error:
        raise UserError(f"source hf:{folder}: {error}; copy the file there") from None
    for file in (str(one) for split in (named or {}).values() for one in split):
        if "://" not in file and not any(Path(file).resolve().is_relative_to(root) for root in roots):
            raise UserError(
                f"source hf:{folder}: its description names {file!r}, which is not in it; copy the file there"
            )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
