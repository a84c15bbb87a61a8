"""Examples on disk: written as they come, one file an array, and read a batch at a time. Neither holds their sequences in memory.

inputs, targets, ids    numbers behind one another (of ids: UTF-8), with `<name>.offsets`: where each one begins, and the end
tags                    as `inputs`: a tag for each of its numbers
labels, parts           one number an example

Numbers of which there is one an example, or two, are mapped into memory. Sequences are read by their place: the system may map
megabytes around each place that is touched, which all count as memory of the process, and a damaged disk would end it by a signal.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from training.batches import Batch, Examples, Ragged
from training.examples import Example, Numbers, gather

Given = TypeVar("Given")
_BUFFER = 1 << 20  # bytes of each file that are written at once
_TYPES = {"ids": "<u1", "tags": "<i4", "labels": "<i8", "parts": "<i4"}


def write(encoded: Iterable[Example], folder: Path, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Write examples into files of `folder`, their sequences as `dtype`. Returns the description that `open_examples` takes."""
    with ExitStack() as stack:
        writer = _Writer(folder, dtype.newbyteorder("<"), stack)
        for example in encoded:
            writer.add(example)
    return {"examples": writer.examples, "cut": writer.cut, "types": writer.types}


class _Writer:
    def __init__(self, folder: Path, dtype: np.dtype[Any], stack: ExitStack) -> None:
        self._folder, self._dtype, self._stack = folder, dtype, stack
        self._files: dict[str, BinaryIO] = {}
        self._ends: dict[str, int] = {}
        self._row, self._part = "", 0
        self.examples, self.cut, self.types = 0, 0, dict[str, str]()

    def add(self, example: Example) -> None:
        """Write one example behind the others."""
        self._part = self._part + 1 if self.examples and example.row == self._row else 0
        self._row = example.row
        self._put("parts", [self._part])
        self._sequence("ids", np.frombuffer(example.row.encode(), np.uint8))
        self._sequence("inputs", example.numbers)
        if example.label is not None:
            self._put("labels", [example.label])
        if example.target is not None:
            self._sequence("targets", example.target)
        if example.tags is not None:
            self._put("tags", example.tags)
        self.examples += 1
        self.cut += example.cut

    def _sequence(self, name: str, numbers: Numbers) -> None:
        if name not in self._ends:
            self._ends[name] = 0
            self._put(f"{name}.offsets", [0])
        self._put(name, numbers)
        self._ends[name] += len(numbers)
        self._put(f"{name}.offsets", [self._ends[name]])

    def _put(self, name: str, numbers: Numbers) -> None:
        if name not in self._files:
            self._files[name] = self._stack.enter_context((self._folder / name).open("wb", _BUFFER))
            self.types[name] = "<i8" if name.endswith(".offsets") else _TYPES.get(name, self._dtype.str)
        self._files[name].write(np.asarray(numbers, self.types[name]).tobytes())


class FileNumbers:
    """Numbers in a file, read when they are asked for. The file stays open: it may be removed meanwhile."""

    def __init__(self, path: Path, kind: str) -> None:
        self.dtype, self._path = np.dtype(kind), path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def __getitem__(self, place: slice) -> NDArray[Any]:
        size = self.dtype.itemsize
        wanted = int(place.stop - place.start) * size
        content = os.pread(self._file, wanted, int(place.start) * size)
        if len(content) != wanted:
            raise OSError(f"{self._path}: shorter than when it was opened; run again")
        return np.frombuffer(content, self.dtype)


class Names(Sequence[str]):
    """Texts that are kept as bytes."""

    def __init__(self, texts: Ragged) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._texts[place % len(self)].tobytes().decode()


@dataclass(frozen=True)
class StoredExamples(Examples):
    """Examples in files. Mapped pages are given back after each use, and stay in the system's cache, for all processes that read
    the same files."""

    part_numbers: NDArray[np.int32] | None = None
    maps: tuple[mmap.mmap, ...] = ()

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return self._give_back(super().lengths)

    @cached_property
    def parts(self) -> NDArray[np.int32]:
        assert self.part_numbers is not None
        return self.part_numbers

    def take(self, rows: NDArray[np.int64]) -> Examples:
        return self._give_back(super().take(rows))

    def batch(self, rows: NDArray[np.int64], progress: float = 1.0) -> Batch:
        return self._give_back(super().batch(rows, progress))

    def _give_back(self, made: Given) -> Given:
        """The same, once the pages that it was copied from are given back."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for one in self.maps:
                one.madvise(mmap.MADV_DONTNEED)
        return made


def open_examples(folder: Path, described: Mapping[str, Any], pad_id: int) -> Examples:
    """The examples that `write` put into `folder`."""
    if not described["examples"]:
        return gather([], pad_id)
    maps: list[mmap.mmap] = []
    arrays: dict[str, Any] = {}
    for name, kind in described["types"].items():
        if f"{name}.offsets" in described["types"] or name == "tags":
            arrays[name] = FileNumbers(folder / name, kind)
            continue
        with (folder / name).open("rb") as file:
            maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        arrays[name] = np.frombuffer(maps[-1], kind)

    def sequences(name: str) -> Ragged:
        return Ragged(arrays[name], arrays[f"{name}.offsets"])

    inputs = sequences("inputs")
    return StoredExamples(
        inputs,
        Names(sequences("ids")),
        pad_id,
        arrays.get("labels"),
        sequences("targets") if "targets" in arrays else None,
        Ragged(arrays["tags"], inputs.offsets) if "tags" in arrays else None,
        described["cut"],
        arrays["parts"],
        tuple(maps),
    )
