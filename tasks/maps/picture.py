"""Maps as an SVG: a row of pictures a layer, a column a head. The stronger the colour, the more is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from tasks.maps.attention_maps import Maps
from tasks.maps.habits import habit

_CELL, _GAP, _FONT = 14, 30, 10  # pixels
_SHOWN = 0.02  # of the strongest weight; weaker ones are invisible on paper
_LABELLED = 0.1  # weights from which on a cell has a tooltip
_LETTER = 6.1  # width of a letter of the font, about
_LONGEST = 12  # letters of a token
_INK, _GREY, _HEAT = "#1b1f24", "#59636e", "#0a58ca"


def svg(maps: Maps, layers: Sequence[int], heads: Sequence[int], title: str) -> str:
    """The chosen layers and heads, counted from 0. The same maps give the same bytes."""
    rows, columns = [_shorten(name) for name in maps.rows], [_shorten(name) for name in maps.columns]
    left = round(_LETTER * max(map(len, rows))) + 14
    above = round(_LETTER * max(map(len, columns)) * 0.87) + 12  # names lean by 60 degrees
    wide, high = len(columns) * _CELL, len(rows) * _CELL
    parts = []
    top = 44 + above
    for place, layer in enumerate(layers):
        y = top + place * (high + _GAP + 20)
        for number, head in enumerate(heads):
            x = left + number * (wide + _GAP)
            weights = maps.layers[layer][head]
            caption = f"layer {layer + 1}, head {head + 1}", str(habit(weights, maps.rows, maps.columns))
            parts.append(_map(weights, (x, y), caption, rows, columns))
            if place == 0:
                parts += [_column_label(name, x + j * _CELL, y - 20) for j, name in enumerate(columns)]
            if number == 0:
                parts += [_row_label(name, x - 5, y + i * _CELL) for i, name in enumerate(rows)]
    width = left + len(heads) * (wide + _GAP) + 20
    height = top + len(layers) * (high + _GAP + 20)
    heading = f'<text x="10" y="20" font-size="13" font-weight="bold">{escape(title)}</text>'
    description = f"{len(layers) * len(heads)} attention maps of the {maps.part}: rows look at columns"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="{_FONT}" '
        f'fill="{_INK}"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{heading}{"".join(parts)}</svg>\n'
    )


def _map(
    weights: NDArray[np.float32],
    place: tuple[int, int],
    caption: tuple[str, str],
    rows: Sequence[str],
    columns: Sequence[str],
) -> str:
    """One head: a frame, its habit, and a square for each visible weight."""
    (x, y), strongest = place, float(weights.max())
    cells = []
    for i, j in zip(*np.nonzero(weights >= _SHOWN * strongest), strict=True):
        tooltip = f"<title>{escape(rows[i])} looks at {escape(columns[j])}: {weights[i, j]:.0%}</title>"
        cells.append(
            f'<rect x="{x + j * _CELL}" y="{y + i * _CELL}" width="{_CELL - 1}" height="{_CELL - 1}" fill="{_HEAT}" '
            f'fill-opacity="{weights[i, j] / strongest:.2f}"{f">{tooltip}</rect>" if weights[i, j] >= _LABELLED else "/>"}'
        )
    frame = (
        f'<rect x="{x - 0.5}" y="{y - 0.5}" width="{len(columns) * _CELL}" height="{len(rows) * _CELL}" fill="none" '
        f'stroke="#d0d7de"/>'
    )
    below = y + len(rows) * _CELL + 13
    lines = [
        f'<text x="{x}" y="{below + 13 * number}" fill="{_GREY}">{escape(line)}</text>'
        for number, line in enumerate(caption)
    ]
    return "".join([frame, *cells, *lines])


def _column_label(name: str, x: int, y: int) -> str:
    return f'<text transform="translate({x + _CELL - 3} {y + 16}) rotate(-60)">{escape(name)}</text>'


def _row_label(name: str, x: int, y: int) -> str:
    return f'<text x="{x}" y="{y + _CELL - 3}" text-anchor="end">{escape(name)}</text>'


def _shorten(name: str) -> str:
    shown = name.strip().replace("\n", "\\n") or "space"
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
