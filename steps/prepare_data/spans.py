"""Marked places of a text: `[[start, end, kind], ...]`, in characters from 0, `end` not included.

A corpus keeps them as JSON, sorted; the rows of a user have them as a list, as `{start, end, label}` as annotation tools
write it, or as JSON of either. Two places of a text never overlap: then each token has one tag.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

Span = tuple[int, int, str]

_KIND = re.compile(r"[\w./ -]{1,60}$")  # it becomes part of a metric's name


class SpansError(ValueError):
    """Spans that cannot be used; the message is one of a few, so that they can be counted."""


def parse_spans(value: Any, text: str) -> list[Span]:
    """A row's spans, sorted. SpansError if it is not a list of spans, or does not fit the text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise SpansError("spans are not JSON") from None
    if not isinstance(value, list | tuple):
        raise SpansError("spans are no list")
    spans = sorted(_span(one) for one in value)
    for place, (start, end, _) in enumerate(spans):
        if not 0 <= start < end <= len(text):
            raise SpansError("a span outside its text")
        if place and start < spans[place - 1][1]:
            raise SpansError("spans that overlap")
    return spans


def _span(one: Any) -> Span:
    if isinstance(one, dict):
        one = [one.get("start"), one.get("end"), one.get("label", one.get("kind"))]
    if not isinstance(one, list | tuple) or len(one) != 3:
        raise SpansError("a span that is not [start, end, kind]")
    start, end, kind = one
    if type(start) is not int or type(end) is not int or not isinstance(kind, str) or not _KIND.match(kind):
        raise SpansError("a span that is not [start, end, kind]")
    return start, end, kind


def dump_spans(spans: list[Span]) -> str:
    """Spans as stored in a corpus."""
    return json.dumps(spans, separators=(",", ":"), ensure_ascii=False)


def move_spans(spans: list[Span], places: Sequence[int], first: int, length: int) -> list[Span]:
    """Positions of spans after a text was cleaned.

    `places` are the characters that stayed, of these `first` were then cut off in front, and `length` are left. A span
    that lost its end to a cut is left out: half a mention is none.
    """
    found = []
    for start, end, kind in spans:
        new = max(0, bisect_left(places, start) - first), bisect_left(places, end) - first
        if new[0] < new[1] <= length:
            found.append((*new, kind))
    return found
