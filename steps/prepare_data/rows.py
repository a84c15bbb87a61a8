"""Output of a reader: a row, or a row that cannot be used and why."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path

from steps.prepare_data.spans import Span, dump_spans, move_spans, parse_spans

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
    spans: str | None = None  # marked places of the text, as `steps/prepare_data/spans.py` writes them
    split: str | None = None  # train, validation or test, where the data says it; None: drawn by hash
    more: bool = False  # the text goes on in the next row, which has the same id
    part: bool = False  # one of several rows that a longer text became


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


def clean_row(row: Row, place: str, *, goes_on: bool = False) -> Row | Bad:
    """The row with its text cleaned, or Bad if the text is unusable. `goes_on`: it continues the row before."""
    if "\x00" in row.text:
        return bad("NUL character", place, row.text)
    try:
        f"{row.text}{row.label}{row.group}{row.target}".encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write: no file can hold it
        return bad("not Unicode", place, row.text)
    if row.image is not None:
        return row
    if not row.text.strip() and not row.more and not goes_on:
        return bad("empty", place, row.text)
    if row.target is not None and not row.target.strip():
        return bad("empty target", place, row.text)
    text = _clean_text(row.text, left=not goes_on, right=not row.more)
    target = None if row.target is None else _clean_text(row.target)
    spans = (
        None
        if row.spans is None
        else dump_spans(_spans_after_cleaning(parse_spans(row.spans, row.text), row.text, len(text)))
    )
    return replace(row, text=text, target=target, spans=spans)


def _clean_text(text: str, *, left: bool = True, right: bool = True) -> str:
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = text.lstrip() if left else text
    return text.rstrip() if right else text


def _spans_after_cleaning(spans: list[Span], text: str, length: int) -> list[Span]:
    """Spans of a text that is then cleaned to `length` characters."""
    gone = {place for found in _REMOVED.finditer(text) for place in range(*found.span())}
    stays = [place for place in range(len(text)) if place not in gone] if gone else range(len(text))
    kept = "".join(text[place] for place in stays) if gone else text
    return move_spans(spans, stays, len(kept) - len(kept.lstrip()), length)


def bad(reason: str, place: str, start: str | bytes) -> Bad:
    """A Bad with the row's first characters, made printable."""
    text = start.decode("utf-8", "replace") if isinstance(start, bytes) else start
    return Bad(reason, place, "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:_SHOWN]))


def place_of(path: Path, line: int) -> str:
    """`file.txt:12`; bytes of the file's name that are no Unicode are escaped."""
    return f"{path}:{line}".encode("utf-8", "backslashreplace").decode()


def draw_of(group: str, seed: int) -> int:
    """The place at which a group is drawn, from 0 to 2^64 - 1: rows of one group never part."""
    digest = hashlib.blake2b(f"{seed}\n{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
