"""Blocks as HTML and inline SVG: colours by CSS variables, so that one drawing serves light and dark, and every figure
has a text that says what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from tasks.evaluation import AttentionMaps, Bars, Block, Heatmap, Lines, Table, Texts

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 44
_SERIES = 4  # colours of the page; after Okabe and Ito, told apart by the colour-blind too


def draw(block: Block) -> str:
    """A block as a section of the page."""
    return f"<section><h2>{escape(block.title)}</h2><p>{escape(block.note)}</p>{_DRAWERS[type(block)](block)}</section>"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> str:
    """A table that scrolls in its own box; the first cell of a row is its heading."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{_cell(row[0])}</th>' + "".join(f"<td>{_cell(value)}</td>" for value in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    return (
        f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else escape(str(value))
    )


def _table(block: Table) -> str:
    return table(block.columns, block.rows, block.title)


def _texts(block: Texts) -> str:
    items = "".join(
        f"<li><strong>{escape(heading)}</strong><pre>{escape(text)}</pre></li>" for heading, text in block.items
    )
    return f'<ol class="texts">{items}</ol>'


def _figure(title: str, told: str, body: str, width: int = _WIDTH, height: int = _HEIGHT) -> str:
    fits = (
        ' class="fits"' if width == _WIDTH else ""
    )  # a chart shrinks with the page; a matrix would be unreadable, and scrolls
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)} (figure)">'
        f'<svg role="img"{fits} viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'aria-label="{escape(title)}. {escape(told)}">{body}</svg></div>'
    )


def _lines(block: Lines) -> str:
    points = [(x, y) for xs, ys in block.series.values() for x, y in zip(xs, ys, strict=True)]
    if not points:
        return "<p>No data.</p>"
    x_range = (0.0, 1.0) if block.diagonal else _range([x for x, _ in points])
    y_range = (0.0, 1.0) if block.diagonal else _range([y for _, y in points])
    px, py = _scales(x_range, y_range)
    parts = [_axes(x_range, y_range, block.x, block.y)]
    if block.diagonal:
        parts.append(f'<path class="ideal" d="M{px(0):.1f} {py(0):.1f}L{px(1):.1f} {py(1):.1f}"/>')
    told = []
    for number, (name, (xs, ys)) in enumerate(block.series.items()):
        path = "L".join(f"{px(x):.1f} {py(y):.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<path class="line s{number % _SERIES}" d="M{path}"/>')
        if block.diagonal or len(xs) == 1:
            parts += [
                f'<circle class="dot s{number % _SERIES}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="4"/>'
                for x, y in zip(xs, ys, strict=True)
            ]
        told.append(f"{name}: from {ys[0]:.3g} at {xs[0]:.4g} to {ys[-1]:.3g} at {xs[-1]:.4g}")
    return _figure(block.title, "; ".join(told), "".join(parts)) + _legend(list(block.series))


def _bars(block: Bars) -> str:
    top = max([*block.values, 1])
    _, py = _scales((0, 1), (0, top))
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(block.labels))
    parts = [_axes(None, (0, top), block.x, block.y)]
    for number, (label, value) in enumerate(zip(block.labels, block.values, strict=True)):
        x = _LEFT + number * width
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{py(value):.1f}" width="{max(1.0, width - 2):.1f}" height="{py(0) - py(value):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{x + width / 2:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{escape(label)}</text>'
        )
    told = ", ".join(f"{label}: {value:,.4g}" for label, value in zip(block.labels, block.values, strict=True))
    return _figure(block.title, told, "".join(parts))


def _heatmap(block: Heatmap) -> str:
    side, left, top = 22, 130, 110
    parts = []
    for i, row in enumerate(block.values):
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{top + i * side + 15}" text-anchor="end">{escape(block.y_labels[i])}</text>'
        )
        for j, value in enumerate(row):
            title = f"<title>{escape(block.y_labels[i])} as {escape(block.x_labels[j])}: {value:.1%}</title>"
            place = f'x="{left + j * side}" y="{top + i * side}" width="{side - 1}" height="{side - 1}"'
            parts.append(f'<rect class="heat" {place} fill-opacity="{value:.3f}">{title}</rect>')
    for j, label in enumerate(block.x_labels):
        x = left + j * side + 15
        parts.append(f'<text class="tick" transform="translate({x} {top - 6}) rotate(-60)">{escape(label)}</text>')
    rows, columns = len(block.y_labels), len(block.x_labels)
    parts.append(f'<rect class="frame" x="{left}" y="{top}" width="{columns * side}" height="{rows * side}"/>')
    off = sorted(
        ((value, i, j) for i, row in enumerate(block.values) for j, value in enumerate(row) if i != j), reverse=True
    )[:5]
    told = "Largest confusions: " + "; ".join(
        f"{block.y_labels[i]} taken for {block.x_labels[j]} {v:.0%}" for v, i, j in off
    )
    return _figure(block.title, told, "".join(parts), left + columns * side + 60, top + rows * side + 10)


def _attention(block: AttentionMaps) -> str:
    side, left, top = 11, 86, 78
    count = len(block.tokens)
    cards = []
    for name, matrix in block.maps.items():
        parts = [f'<rect class="frame" x="{left}" y="{top}" width="{count * side}" height="{count * side}"/>']
        for i, row in enumerate(matrix):
            label = escape(_shown(block.tokens[i]))
            parts.append(
                f'<text class="small" x="{left - 4}" y="{top + i * side + 9}" text-anchor="end">{label}</text>'
            )
            parts.append(
                f'<text class="small" transform="translate({left + i * side + 9} {top - 4}) rotate(-60)">{label}</text>'
            )
            parts += [
                f'<rect class="heat" x="{left + j * side}" y="{top + i * side}" width="{side}" height="{side}" fill-opacity="{value:.3f}"/>'
                for j, value in enumerate(row) if value >= 0.01
            ]  # fmt: skip
        size = left + count * side + 40, top + count * side + 4
        strongest = max(
            ((value, i, j) for i, row in enumerate(matrix) for j, value in enumerate(row)), default=(0.0, 0, 0)
        )
        told = f"The strongest look: {_shown(block.tokens[strongest[1]])} at {_shown(block.tokens[strongest[2]])}, {strongest[0]:.0%}"
        cards.append(
            f"<figure><figcaption>{escape(name)}</figcaption>{_figure(f'Attention of {name}', told, ''.join(parts), *size)}</figure>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _shown(token: str) -> str:
    return token.replace("\n", "\\n").strip()[:11] or "space"


def _scales(
    x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    (x0, x1), (y0, y1) = x_range, y_range
    return (
        lambda x: _LEFT + (x - x0) / ((x1 - x0) or 1) * (_WIDTH - _LEFT - _RIGHT),
        lambda y: _HEIGHT - _BOTTOM - (y - y0) / ((y1 - y0) or 1) * (_HEIGHT - _TOP - _BOTTOM),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.5
    return (0.0 if 0 <= low <= high / 3 else low - room), high + room


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 4 or 1))
    step *= next((factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6), 10)
    return [round(step * n, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _axes(x_range: tuple[float, float] | None, y_range: tuple[float, float], x: str, y: str) -> str:
    px, py = _scales(x_range or (0, 1), y_range)
    parts = []
    for tick in _ticks(*y_range):
        parts.append(f'<path class="grid" d="M{_LEFT} {py(tick):.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:,g}</text>')
    for tick in _ticks(*x_range) if x_range else []:
        parts.append(
            f'<text class="tick" x="{px(tick):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:,g}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>')
    parts.append(
        f'<text class="axis" transform="translate(14 {(_HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{escape(y)}</text>'
    )
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    items = "".join(
        f'<li><span class="key s{n % _SERIES}" aria-hidden="true"></span>{escape(name)}</li>'
        for n, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


_DRAWERS: dict[type[Block], Callable[[Any], str]] = {
    Table: _table, Texts: _texts, Lines: _lines, Bars: _bars, Heatmap: _heatmap, AttentionMaps: _attention,
}  # fmt: skip
