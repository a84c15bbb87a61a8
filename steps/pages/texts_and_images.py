"""Blocks without a drawing: images, and texts whose tokens or places are coloured."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from tasks.evaluation import Images, MarkedTexts, Picture, Shades, Span

_COLOURS = 4  # of the page
_SHOWN = 0.02  # weaker colours are invisible on paper


def images(block: Images) -> str:
    """The images side by side, as many as fit; small ones are scaled up with their pixels sharp."""
    if not block.items:
        return "<p>None.</p>"
    return f'<div class="images">{"".join(map(_figure, block.items))}</div>'


def _figure(picture: Picture) -> str:
    source = f"data:image/png;base64,{b64encode(picture.content).decode('ascii')}"
    image = f'<img src="{source}" alt="{escape(picture.alt)}"/>'
    return f"<figure>{image}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def shades(block: Shades) -> str:
    """A list of texts; a token's number shows in its tooltip."""
    if not block.items:
        return "<p>None.</p>"
    items = "".join(
        f"<li><strong>{escape(heading)}</strong><pre>{''.join(_token(*token) for token in tokens)}</pre></li>"
        for heading, tokens in block.items
    )
    return f'<ol class="texts">{items}</ol>'


def _token(text: str, strength: float, tooltip: str) -> str:
    colour = f' style="--strength:{strength:.0%}"' if strength >= _SHOWN else ""
    return f'<span class="shade" title="{escape(tooltip)}"{colour}>{escape(text)}</span>'


def marked_texts(block: MarkedTexts) -> str:
    """A list of texts with marked spans, expected ones underlined and found ones tinted, and a legend."""
    if not block.items:
        return "<p>None.</p>"
    colour = {kind: number % _COLOURS for number, kind in enumerate(block.kinds)}
    legend = "".join(
        f'<li><mark class="told{number} found{number}">{escape(kind)}</mark></li>' for kind, number in colour.items()
    )
    items = "".join(
        f"<li><strong>{escape(heading)}</strong><pre>{_mark_spans(text, expected, found, colour)}</pre></li>"
        for heading, text, expected, found in block.items
    )
    return f'<ul class="legend">{legend}</ul><ol class="texts">{items}</ol>'


def _mark_spans(text: str, expected: Sequence[Span], found: Sequence[Span], colour: dict[str, int]) -> str:
    edges = sorted({0, len(text), *(edge for start, end, _ in (*expected, *found) for edge in (start, end))})
    parts = []
    for start, end in pairwise(edges):
        here = [next((kind for a, b, kind in spans if a <= start < b), None) for spans in (expected, found)]
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
