"""Texts whose tokens are coloured, each as strongly as its number says."""

from __future__ import annotations

from html import escape

from tasks.evaluation import Shades

_SHOWN = 0.02  # below, a colour cannot be told from the paper


def shades(block: Shades) -> str:
    """A list of texts; what a token's number is, a reader sees when pointing at it."""
    if not block.items:
        return "<p>None.</p>"
    items = "".join(
        f"<li><strong>{escape(heading)}</strong><pre>{''.join(_token(*token) for token in tokens)}</pre></li>"
        for heading, tokens in block.items
    )
    return f'<ol class="texts">{items}</ol>'


def _token(text: str, strength: float, told: str) -> str:
    colour = f' style="--strength:{strength:.0%}"' if strength >= _SHOWN else ""
    return f'<span class="shade" title="{escape(told)}"{colour}>{escape(text)}</span>'
