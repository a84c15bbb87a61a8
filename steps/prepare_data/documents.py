"""Texts over `max_characters`: several rows of one group that follow one another, or one row that is cut.

A row with a label, a target or an image stays one row: its answer is for one text. What is over of a labelled text becomes rows
without a label, to train on as text. The parts of a text, one behind another, are the text to the last character.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from artifacts.corpus import part_id
from steps.prepare_data.rows import Row
from steps.prepare_data.spans import Span, dump_spans

_BREAKS = (re.compile(r"\n[ \t]*\n\s*"), re.compile(r"\n\s*"), re.compile(r"[.!?\u0964\u3002]\s+"), re.compile(r"\s+"))
_JOINED = "\u200d\ufe0f"  # belongs to the character before it


@dataclass
class Cut:
    """Counts of texts and characters lost by cutting."""

    texts: int = 0
    characters: int = 0
    spans: int = 0
    first: str = ""


class Parts:
    """Divider of rows into parts, which counts the parts it cuts."""

    def __init__(self, longest: int, long_texts: Literal["split", "cut"]) -> None:
        self._longest, self._split = longest, long_texts == "split"
        self._document, self._number = "", 0  # the text that goes on in the next row, and its parts so far
        self.cut = Cut()
        self.split = 0  # texts that became several rows

    def of(self, row: Row) -> Iterator[Row]:
        """The row as it is, in parts or cut. Rows of a given validation or test split are never changed."""
        goes_on, self._document = bool(row.id == self._document), row.id if row.more else ""
        if not goes_on:
            self._number = 0
        whole = not goes_on and not row.more
        if row.image is not None or (whole and row.split in ("validation", "test")):
            yield row
        elif goes_on and not self._split:
            self._lose(row, characters=len(row.text))
        elif row.target is not None or not self._split:
            yield self._shorten(row)
        elif whole and len(row.text) <= self._longest:
            yield row
        else:
            yield from self._divide(row)

    def _divide(self, row: Row) -> Iterator[Row]:
        spans: list[Span] | None = None if row.spans is None else [tuple(span) for span in json.loads(row.spans)]
        self.split += not self._number
        place = 0
        while place < len(row.text):
            end = _end_of_part(row.text, place, self._longest, spans or [])
            text = row.text[place:end]
            dropped = not text.strip()  # white space alone is no row
            if dropped:
                self._lose(row, characters=len(text))
            else:
                self._number += 1
                last = end == len(row.text) and not row.more
                own = None if spans is None else dump_spans(_within(spans, place, end))
                yield replace(
                    row,
                    id=part_id(row.id, self._number, last=last),
                    text=text,
                    group=row.group or row.id,
                    spans=own,
                    label=row.label if self._number == 1 else None,
                    part=True,
                )
            if spans:
                self._lose(row, spans=sum(place <= one < end and (dropped or other > end) for one, other, _ in spans))
            place = end

    def _shorten(self, row: Row) -> Row:
        text, target = _cut(row.text, self._longest), row.target and _cut(row.target, self._longest)
        lost = len(row.text) - len(text) + len(row.target or "") - len(target or "")
        if not lost:
            return row
        self.cut.texts += 1
        spans = None if row.spans is None else json.loads(row.spans)
        kept = None if spans is None else _within(spans, 0, len(text))
        self._lose(row, characters=lost, spans=len(spans or ()) - len(kept or ()))
        return replace(row, text=text, target=target, spans=None if kept is None else dump_spans(kept))

    def _lose(self, row: Row, *, characters: int = 0, spans: int = 0) -> None:
        if characters or spans:
            self.cut.characters += characters
            self.cut.spans += spans
            self.cut.first = self.cut.first or row.id


def _end_of_part(text: str, start: int, longest: int, spans: list[Span]) -> int:
    """End of a part: after a paragraph, a line, a sentence or a word, and not within a span or character."""
    end = start + longest
    if len(text) <= end:
        return len(text)
    for span_start, span_end, _ in spans:
        if start < span_start < end < span_end <= span_start + longest:
            end = span_start
    for least, pattern in zip((longest // 2, longest // 2, longest // 2, 0), _BREAKS, strict=True):
        found = [m.end() for m in pattern.finditer(text, start + least, end) if start < m.end() <= end]
        found = [place for place in found if not any(one < place < other for one, other, _ in spans)]
        if found:
            return found[-1]
    while end > start + 1 and (unicodedata.combining(text[end]) or text[end] in _JOINED or text[end - 1] == "\u200d"):
        end -= 1
    return end


def _within(spans: list[Span], start: int, end: int) -> list[Span]:
    return [(one - start, other - start, kind) for one, other, kind in spans if start <= one and other <= end]


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    # Between words: half a word can be another word.
    return text[:longest].rsplit(None, 1)[0] if text[:longest].split(None, 1)[1:] else text[:longest]
