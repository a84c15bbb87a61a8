"""Spans marked without a model: those seen in training, and patterns of docstrings."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tasks.evaluation import Span

_TOKEN = re.compile(r"\w+|[^\w\s]")
_LONGEST = 8  # tokens of an entry of the dictionary
_PATTERNS = (
    ("PARAMETER", re.compile(r"^[ \t]*\*{0,2}(\w+) ?(?:: .+| \(.+\): .+|:)?$", re.MULTILINE)),
    ("PARAMETER", re.compile(r":param(?: [^:\n]+)? (\w+):")),
    ("TYPE", re.compile(r"^[ \t]*\w+ : ([^.\n]+?)(?:, (?:optional|default).*)?$", re.MULTILINE)),
    ("TYPE", re.compile(r"^[ \t]*\w+ \(([^)\n]+?)(?:, optional)?\):", re.MULTILINE)),
    ("VALUE", re.compile(r"\b[Dd]efaults?(?: to| is| value)?[:= ]+[`'\"]*([\w.-]*\w)")),
    ("PARAMETER", re.compile(r"`+(\w+)`+")),
)
DOCSTRINGS = {kind for kind, _ in _PATTERNS}


def patterns(text: str) -> list[Span]:
    """Heads of entries, text after their colon, text after the word default, and words in backticks."""
    found: list[Span] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span(1)
            if all(end <= other[0] or other[1] <= start for other in found):
                found.append((start, end, kind))
    return sorted(found)


class Dictionary:
    """The baseline of CoNLL-2003 (Tjong Kim Sang and De Meulder, W03-0419, section 3): entities that training has seen, each
    with its most frequent kind, the longest first; here those alone that were marked in most places where they occur."""

    def __init__(self, rows: Iterable[tuple[str, Sequence[Span]]]) -> None:
        rows = list(rows)
        kinds: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text, spans in rows:
            for start, end, kind in spans:
                words = tuple(_TOKEN.findall(text[start:end]))
                if 0 < len(words) <= _LONGEST:
                    kinds[words][kind] += 1
        self._known: dict[tuple[str, ...], str] = {}
        self._lengths: dict[str, list[int]] = {}  # of the entries that begin with a word, the longest first
        self._set({words: min(counts, key=lambda kind: (-counts[kind], kind)) for words, counts in kinds.items()})
        seen: Counter[tuple[str, ...]] = Counter()
        for text, _ in rows:
            seen.update(words for words, _, _ in self._occurrences(text))
        self._set({words: kind for words, kind in self._known.items() if 2 * kinds[words][kind] >= seen[words]})

    def mark(self, text: str) -> list[Span]:
        """The places of a text that the dictionary knows."""
        return [(start, end, self._known[words]) for words, start, end in self._occurrences(text)]

    def _set(self, known: dict[tuple[str, ...], str]) -> None:
        self._known, lengths = known, defaultdict[str, set[int]](set)
        for words in known:
            lengths[words[0]].add(len(words))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def _occurrences(self, text: str) -> Iterable[tuple[tuple[str, ...], int, int]]:
        tokens = list(_TOKEN.finditer(text))
        words, at = [token[0] for token in tokens], 0
        while at < len(words):
            for length in self._lengths.get(words[at], ()):
                some = tuple(words[at : at + length])
                if some in self._known:
                    yield some, tokens[at].start(), tokens[at + len(some) - 1].end()
                    at += len(some) - 1
                    break
            at += 1
