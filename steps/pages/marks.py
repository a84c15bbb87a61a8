"""Texts with marked places: underlined what is to be found, tinted what was found."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from tasks.evaluation import MarkedTexts, Span

_COLOURS = 4  # of the page


def marked_texts(block: MarkedTexts) -> str:
    """A list of texts, and which colour is which kind."""
    if not block.items:
        return "<p>None.</p>"
    colour = {kind: number % _COLOURS for number, kind in enumerate(block.kinds)}
    legend = "".join(
        f'<li><mark class="told{number} found{number}">{escape(kind)}</mark></li>' for kind, number in colour.items()
    )
    items = "".join(
        f"<li><strong>{escape(heading)}</strong><pre>{_marked(text, told, found, colour)}</pre></li>"
        for heading, text, told, found in block.items
    )
    return f'<ul class="legend">{legend}</ul><ol class="texts">{items}</ol>'


def _marked(text: str, told: Sequence[Span], found: Sequence[Span], colour: dict[str, int]) -> str:
    edges = sorted({0, len(text), *(edge for start, end, _ in (*told, *found) for edge in (start, end))})
    parts = []
    for start, end in pairwise(edges):
        here = [next((kind for a, b, kind in spans if a <= start < b), None) for spans in (told, found)]
        words = escape(text[start:end])
        if here == [None, None]:
            parts.append(words)
            continue
        names = " ".join(
            f"{name}{colour.get(kind, 0)}" for name, kind in zip(("told", "found"), here, strict=True) if kind
        )
        title = f"{here[0] or 'nothing'}, found as {here[1] or 'nothing'}"
        parts.append(f'<mark class="{names}" title="{escape(title)}">{words}</mark>')
    return "".join(parts)
