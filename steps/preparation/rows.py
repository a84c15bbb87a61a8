"""What a reader gives: a row, or a row that cannot be used and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path

from steps.preparation.spans import Span, moved, parsed, written

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_REMOVED = re.compile(rf"{_CONTROL.pattern}|\r(?=\n)")  # by cleaning, so that what follows moves
_SHOWN = 200  # characters of a quarantined row that are kept


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its place in the source. Rows of one group never part: they go to the same split."""

    id: str
    text: str
    label: str | None = None
    group: str | None = None
    target: str | None = None  # of a pair: what the text is to become
    image: bytes | None = None  # a PNG or JPEG file's content; the text then says what is known of it, if anything
    spans: str | None = None  # marked places of the text, as `steps/preparation/spans.py` writes them
    split: str | None = None  # train, validation or test, where the data says it; None: drawn by hash


_ALL_BUT_ID = attrgetter(*[field.name for field in fields(Row)][1:])


def with_id(row: Row, place: str) -> Row:
    """The row with another id; `dataclasses.replace` takes three times as long, for each row of a source."""
    return Row(place, *_ALL_BUT_ID(row))


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that was left out: `reason` is one of a few words, `place` names file and line."""

    reason: str
    place: str
    start: str = ""


def checked(row: Row, place: str, shortest: int, longest: int) -> Row | Bad | None:
    """The row with its text cleaned, cut to `longest` characters; Bad for what no text should hold; None if too short."""
    if "\x00" in row.text:
        return bad("NUL character", place, row.text)
    try:
        f"{row.text}{row.label}{row.group}{row.target}".encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write: no file can hold it
        return bad("not Unicode", place, row.text)
    if row.image is not None:
        return row
    if not row.text.strip():
        return bad("empty", place, row.text)
    if row.target is not None and not row.target.strip():
        return bad("empty target", place, row.text)
    text = _cleaned(row.text)
    if len(text) < shortest:
        return None
    target = None if row.target is None else _cut(_cleaned(row.target), longest)
    text = _cut(text, longest)
    spans = None if row.spans is None else written(_moved(parsed(row.spans, row.text), row.text, len(text)))
    return replace(row, text=text, target=target, spans=spans)


def _cleaned(text: str) -> str:
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _moved(spans: list[Span], text: str, length: int) -> list[Span]:
    """Spans of a text that is then cleaned and cut to `length`."""
    gone = {place for found in _REMOVED.finditer(text) for place in range(*found.span())}
    stays = [place for place in range(len(text)) if place not in gone] if gone else range(len(text))
    kept = "".join(text[place] for place in stays) if gone else text
    return moved(spans, stays, len(kept) - len(kept.lstrip()), length)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    # Between words: half a word can be another word.
    return text[:longest].rsplit(None, 1)[0] if text[:longest].split(None, 1)[1:] else text[:longest]


def bad(reason: str, place: str, start: str | bytes) -> Bad:
    """A Bad with the row's first characters, made printable."""
    text = start.decode("utf-8", "replace") if isinstance(start, bytes) else start
    return Bad(reason, place, "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:_SHOWN]))


def place_of(path: Path, line: int) -> str:
    """`file.txt:12`; bytes of the file's name that are no Unicode are escaped."""
    return f"{path}:{line}".encode("utf-8", "backslashreplace").decode()
