"""Text files: each line, each paragraph or the whole file is a row; empty ones are no rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from steps.prepare_data.lines import BadLine, lines
from steps.prepare_data.reading import Reading
from steps.prepare_data.rows import Bad, Row, place_of

_STRETCH = 1 << 20  # characters of a text that are held at once


def read(path: Path, reading: Reading) -> Iterator[Row | Bad]:
    """The rows of a file, in its order."""
    if reading.columns.rows != "line":
        yield from _blocks(path, paragraphs=reading.columns.rows == "paragraph")
        return
    for number, line in lines(path):
        if isinstance(line, BadLine):
            yield line.bad
        elif line.strip():
            yield Row(place_of(path, number), line, None, None)


def _blocks(path: Path, *, paragraphs: bool) -> Iterator[Row | Bad]:
    """Paragraphs, with empty lines between them, or the whole file; one over `_STRETCH` characters in several rows."""
    held: list[str] = []
    place, size, goes_on = str(path).encode("utf-8", "backslashreplace").decode(), 0, False
    for number, line in lines(path):
        if isinstance(line, BadLine):
            yield line.bad
            continue
        if not line.strip() and (paragraphs or not (held or goes_on)):
            if held:
                yield Row(place, "\n".join(held))
            held, size, goes_on = [], 0, False
            continue
        if paragraphs and not (held or goes_on):
            place = place_of(path, number)
        held.append(line)
        size += len(line) + 1
        if size > _STRETCH:
            yield Row(place, "\n".join(held) + "\n", more=True)
            held, size, goes_on = [], 0, True
    if held:
        yield Row(place, "\n".join(held))
