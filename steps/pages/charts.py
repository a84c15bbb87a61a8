"""Blocks as HTML and inline SVG: colours by CSS variables, so that one drawing serves light and dark, and every figure
has a text that says what it shows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from steps.pages.figure import HEIGHT, WIDTH, figure
from steps.pages.matrices import attention, heatmap
from steps.pages.texts_and_images import images, marked_texts, shades
from tasks.evaluation import (
    AttentionMaps,
    Bars,
    Block,
    Heatmap,
    Images,
    Lines,
    MarkedTexts,
    Scatter,
    Shades,
    Table,
    Texts,
)

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 44
_NUMBERS = re.compile(r"[-\d.,%\s\[\]]*$")  # a number, or one with its interval
_SERIES = 4  # colours of the page; after Okabe and Ito, safe for the colour-blind


@dataclass(frozen=True)
class Curves(Lines):
    """Curves that come in twos, training and validation: one colour a pair, the second one dashed."""


def draw(block: Block) -> str:
    """A block as a section of the page."""
    name = anchor(block.title)
    heading = f'<h2 id="{name}">{escape(block.title)}</h2><p>{escape(block.note)}</p>'
    return f'<section aria-labelledby="{name}">{heading}{_DRAWERS[type(block)](block)}</section>'


def anchor(title: str) -> str:
    """Anchor of the section with this title: `Worst errors` is `worst-errors`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> str:
    """A table that scrolls in its own box; the first cell of a row is its heading, columns of numbers are aligned."""
    sides = [
        ' class="text"' if any(not _NUMBERS.match(_cell(row[i])) for row in rows) else "" for i in range(len(columns))
    ]
    head = "".join(f'<th scope="col"{side}>{escape(column)}</th>' for column, side in zip(columns, sides, strict=True))
    body = "".join(
        f'<tr><th scope="row" class="text">{_cell(row[0])}</th>'
        + "".join(f"<td{side}>{_cell(value)}</td>" for value, side in zip(row[1:], sides[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _table(block: Table) -> str:
    return table(block.columns, block.rows, block.title)


def _texts(block: Texts) -> str:
    if not block.items:
        return "<p>None.</p>"
    items = "".join(
        f"<li><strong>{escape(heading)}</strong><pre>{escape(text)}</pre></li>" for heading, text in block.items
    )
    return f'<ol class="texts">{items}</ol>'


def _lines(block: Lines) -> str:
    series = _drawn_series(block)
    points = [(x, y) for xs, ys in series.values() for x, y in zip(xs, ys, strict=True)]
    if not points:
        return "<p>No data.</p>"
    x_range = (0.0, 1.0) if block.diagonal else _range([x for x, _ in points])
    y_range = (0.0, 1.0) if block.diagonal else _range([y for _, y in points])
    if block.powers:
        y_range = float(math.floor(y_range[0])), float(math.ceil(y_range[1]))
    px, py = _scales(x_range, y_range)
    parts = [_axes(x_range, y_range, block.x, block.y, powers=block.powers)]
    if block.diagonal:
        parts.append(f'<path class="ideal" d="M{px(0):.1f} {py(0):.1f}L{px(1):.1f} {py(1):.1f}"/>')
    descriptions = []
    for style, (name, (xs, ys)) in zip(_styles(block), series.items(), strict=True):
        if not xs:
            continue
        path = "L".join(f"{px(x):.1f} {py(y):.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<path class="line {style}" d="M{path}"/>')
        if block.diagonal or len(xs) == 1:
            parts += [
                f'<circle class="dot {style}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="4"/>'
                for x, y in zip(xs, ys, strict=True)
            ]
        first, last = (10 ** ys[place] if block.powers else ys[place] for place in (0, -1))
        descriptions.append(f"{name}: from {first:.3g} at {xs[0]:.4g} to {last:.3g} at {xs[-1]:.4g}")
    return figure(block.title, "; ".join(descriptions), "".join(parts)) + _legend(block)


def _drawn_series(block: Lines) -> Mapping[str, tuple[Sequence[float], Sequence[float]]]:
    """The points of each curve as they are drawn: with `powers`, logarithms of what is above 0."""
    if not block.powers:
        return block.series
    above = {name: [(x, y) for x, y in zip(*both, strict=True) if y > 0] for name, both in block.series.items()}
    return {name: ([x for x, _ in points], [math.log10(y) for _, y in points]) for name, points in above.items()}


def _scatter(block: Scatter) -> str:
    points = [(x, y) for xs, ys in block.series.values() for x, y in zip(xs, ys, strict=True)]
    if not points:
        return "<p>No data.</p>"
    (x_range, y_range) = (_spread([point[axis] for point in points]) for axis in (0, 1))
    px, py = _scales(x_range, y_range)
    parts = [_axes(x_range, y_range, block.x, block.y)]
    for style, (xs, ys) in zip(_styles(block), block.series.values(), strict=True):
        dots = (f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="2.5"/>' for x, y in zip(xs, ys, strict=True))
        parts.append(f'<g class="dots {style}">{"".join(dots)}</g>')
    description = ", ".join(f"{name}: {len(xs)} dots" for name, (xs, _) in block.series.items())
    return figure(block.title, description, "".join(parts)) + _legend(block)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    room = 0.05 * (max(values) - min(values)) or 0.5
    return min(values) - room, max(values) + room


def _bars(block: Bars) -> str:
    top = max([*block.values, 1])
    _, py = _scales((0, 1), (0, top))
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(block.labels))
    parts = [_axes(None, (0, top), block.x, block.y)]
    for number, (label, value) in enumerate(zip(block.labels, block.values, strict=True)):
        x = _LEFT + number * width
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{py(value):.1f}" width="{max(1.0, width - 2):.1f}" height="{py(0) - py(value):.1f}">'
            f"<title>{escape(label)}: {value:,.4g}</title></rect>"
        )
        parts.append(
            f'<text class="tick" x="{x + width / 2:.1f}" y="{HEIGHT - _BOTTOM + 14}" text-anchor="middle">{escape(label)}</text>'
        )
    description = ", ".join(f"{label}: {value:,.4g}" for label, value in zip(block.labels, block.values, strict=True))
    return figure(block.title, description, "".join(parts))


def _scales(
    x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    (x0, x1), (y0, y1) = x_range, y_range
    return (
        lambda x: _LEFT + (x - x0) / ((x1 - x0) or 1) * (WIDTH - _LEFT - _RIGHT),
        lambda y: HEIGHT - _BOTTOM - (y - y0) / ((y1 - y0) or 1) * (HEIGHT - _TOP - _BOTTOM),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.5
    return (0.0 if 0 <= low <= high / 3 else low - room), high + room


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 4 or 1))
    step *= next((factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6), 10)
    return [round(step * n, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _axes(
    x_range: tuple[float, float] | None, y_range: tuple[float, float], x: str, y: str, *, powers: bool = False
) -> str:
    px, py = _scales(x_range or (0, 1), y_range)
    parts = []
    for tick in range(int(y_range[0]), int(y_range[1]) + 1) if powers else _ticks(*y_range):
        shown = f"1e{tick}" if powers else f"{tick:,g}"
        parts.append(f'<path class="grid" d="M{_LEFT} {py(tick):.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{py(tick) + 4:.1f}" text-anchor="end">{shown}</text>')
    for tick in _ticks(*x_range) if x_range else []:
        parts.append(
            f'<text class="tick" x="{px(tick):.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:,g}</text>'
        )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>')
    parts.append(
        f'<text class="axis" transform="translate(14 {(HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{escape(y)}</text>'
    )
    return "".join(parts)


def _styles(block: Lines | Scatter) -> list[str]:
    """A class of the page for each curve: `s0` to `s3` are colours with a dash of their own, `dashed` overrules that.

    Dots beyond these colours are grey.
    """
    if isinstance(block, Scatter):
        return [f"s{n}" if n < _SERIES else "others" for n in range(len(block.series))]
    if isinstance(block, Curves):
        return [f"s{n // 2 % _SERIES} {'dashed' if n % 2 else 'solid'}" for n in range(len(block.series))]
    again = ("", " solid", " dashed", " dotted")  # the same colours once more, drawn otherwise
    return [f"s{n % _SERIES}{again[n // _SERIES % len(again)]}" for n in range(len(block.series))]


def _legend(block: Lines | Scatter) -> str:
    if len(block.series) < 2:
        return ""
    items = "".join(
        f'<li><span class="key {style}" aria-hidden="true"></span>{escape(name)}</li>'
        for style, name in zip(_styles(block), block.series, strict=True)
    )
    return f'<ul class="legend">{items}</ul>'


_DRAWERS: dict[type[Block], Callable[[Any], str]] = {
    Table: _table, Texts: _texts, Lines: _lines, Curves: _lines, Bars: _bars, Heatmap: heatmap, AttentionMaps: attention,
    Images: images, MarkedTexts: marked_texts, Scatter: _scatter, Shades: shades,
}  # fmt: skip
