"""Marked places of a text as tags of its words, and back; and a text longer than the model as windows.

Tags are BIO: B begins a span, I goes on, O is outside (Ramshaw and Marcus 1995, W95-0107, as CoNLL-2002 wrote it). A word is a
run of letters, digits and underscores, or what else the tokenizer has as one piece; its tag stands at its first piece (Devlin
et al. 2019, section 5.3), the pieces after that have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.evaluation import Span

if TYPE_CHECKING:
    from artifacts.tokenizer import Tokenizer

OUTSIDE = 0  # the tag O; kind k has B = 2 k + 1 and I = 2 k + 2
NO_TAG = -1


@dataclass(frozen=True)
class Word:
    """A word of a text: its first piece, and its characters."""

    piece: int
    start: int
    end: int


@dataclass(frozen=True)
class Window:
    """Pieces `start` to `end` as one sequence; of these, `first` to `last` are answered here and not by a neighbour."""

    start: int
    end: int
    first: int
    last: int


def number_of_tags(kinds: Sequence[str]) -> int:
    """O, and two for each kind."""
    return 1 + 2 * len(kinds)


def cut(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[Word]]:
    """A text's token ids, and its words."""
    ids, offsets = tokenizer.encode_with_offsets(text)
    words: list[Word] = []
    for piece, (begin, end) in enumerate(offsets):
        start = begin
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start == end:
            continue
        before = words[-1] if words else None
        if before and before.end == start and _is_of_word(text[start - 1]) and _is_of_word(text[start]):
            words[-1] = Word(before.piece, before.start, end)
        else:
            words.append(Word(piece, start, end))
    return ids, words


def tags_of(words: Sequence[Word], spans: Sequence[Span], kinds: Sequence[str]) -> list[int]:
    """A tag for each word: the span's that it has a character of. `spans` are sorted and do not overlap."""
    number = {kind: place for place, kind in enumerate(kinds)}
    tags, at = [], 0
    last = -1  # the span of the word before
    for word in words:
        while at < len(spans) and spans[at][1] <= word.start:
            at += 1
        if at < len(spans) and spans[at][0] < word.end and spans[at][2] in number:
            tags.append(2 * number[spans[at][2]] + (2 if last == at else 1))
            last = at
        else:
            tags.append(OUTSIDE)
            last = -1
    return tags


def spans_of(
    words: Sequence[Word], tags: Sequence[int], sure: Sequence[float], kinds: Sequence[str]
) -> list[tuple[Span, float]]:
    """Spans that tags mean, each as sure as its least sure word. An I without its B begins a span too, as in conlleval."""
    found: list[tuple[Span, float]] = []
    going = OUTSIDE  # 1 + kind of the span that the word before was in
    for word, tag, p in zip(words, tags, sure, strict=True):
        kind, begins = (tag + 1) // 2, tag % 2 == 1
        if tag == OUTSIDE:
            going = OUTSIDE
        elif going == kind and not begins:
            (start, _, name), least = found[-1]
            found[-1] = ((start, word.end, name), min(least, p))
        else:
            found.append(((word.start, word.end, kinds[kind - 1]), p))
            going = kind
    return found


def windows(count: int, limit: int, overlap: int) -> Iterator[Window]:
    """`count` pieces in windows of `limit`, two neighbours sharing `overlap`; each covers its half of the overlap."""
    start = 0
    while True:
        end = min(start + limit, count)
        yield Window(
            start, end, start + (overlap // 2 if start else 0), end - (overlap - overlap // 2 if end < count else 0)
        )
        if end == count:
            return
        start = end - overlap


def read_spans(text: str) -> list[Span]:
    """Spans from JSON: lists as a corpus has them, or objects as `predict` gives them."""
    return [(s["start"], s["end"], s["kind"]) if isinstance(s, dict) else (s[0], s[1], s[2]) for s in json.loads(text)]


def write_predicted(text: str, spans: Sequence[tuple[Span, float]]) -> str:
    """Spans as `predict` gives them: objects with `start`, `end`, `kind`, `text` and `probability`."""
    return json.dumps(
        [
            {"start": start, "end": end, "kind": kind, "text": text[start:end], "probability": round(p, 6)}
            for (start, end, kind), p in spans
        ],
        ensure_ascii=False,
    )


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character == "_"
