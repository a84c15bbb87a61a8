"""One figure of the page: an SVG with a description in words."""

from __future__ import annotations

from html import escape

WIDTH, HEIGHT = 640, 300  # of a chart, in its own units


def figure(title: str, description: str, body: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """SVG parts as a figure. A chart shrinks with the page; a matrix would be unreadable, and scrolls in its own box."""
    fits = ' class="fits"' if width == WIDTH else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(title)} (figure)">'
        f'<svg role="img"{fits} viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'aria-label="{escape(title)}. {escape(description)}">{body}</svg></div>'
    )
