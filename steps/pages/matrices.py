"""Matrices as SVG: who is taken for whom, and who looks at whom. The stronger the colour, the more."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from steps.pages.figure import figure
from tasks.evaluation import AttentionMaps, Heatmap

_SHOWN = 0.01  # cells below this share are invisible on paper and left out, to keep pages with many classes small


def heatmap(block: Heatmap) -> str:
    """A matrix with a row and a column for each label."""
    side, left, top = 22, 130, 110
    parts = []
    for i, row in enumerate(block.values):
        name, middle = escape(_cut(block.y_labels[i], 18)), top + i * side + 15
        parts.append(f'<text class="tick" x="{left - 6}" y="{middle}" text-anchor="end">{name}</text>')
        for j, value in enumerate(row):
            if value < _SHOWN:
                continue
            title = f"<title>{escape(block.y_labels[i])} as {escape(block.x_labels[j])}: {value:.1%}</title>"
            place = f'x="{left + j * side}" y="{top + i * side}" width="{side - 1}" height="{side - 1}"'
            parts.append(f'<rect class="heat" {place} fill-opacity="{value:.3f}">{title}</rect>')
    for j, label in enumerate(block.x_labels):
        place = f'transform="translate({left + j * side + 15} {top - 6}) rotate(-60)"'
        parts.append(f'<text class="tick" {place}>{escape(_cut(label, 18))}</text>')
    rows, columns = len(block.y_labels), len(block.x_labels)
    parts.append(f'<rect class="frame" x="{left}" y="{top}" width="{columns * side}" height="{rows * side}"/>')
    off = [(v, i, j) for i, row in enumerate(block.values) for j, v in enumerate(row) if i != j and v >= _SHOWN]
    largest = sorted(off, reverse=True)[:5]
    named = [f"{block.y_labels[i]} taken for {block.x_labels[j]} {v:.0%}" for v, i, j in largest]
    description = f"Rows: {block.y}; columns: {block.x}. Largest confusions: {'; '.join(named) or 'none'}"
    return figure(block.title, description, "".join(parts), left + columns * side + 60, top + rows * side + 10)


def attention(block: AttentionMaps) -> str:
    """A card with a small matrix for each head; on a phone they lie side by side, to be swiped through."""
    cards = [
        f"<figure><figcaption>{escape(name)}</figcaption>{_map(name, matrix, block.rows or block.tokens, block.tokens)}</figure>"
        for name, matrix in block.maps.items()
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _map(name: str, matrix: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str]) -> str:
    side, left, top = 12, 92, 84
    width, height = len(columns) * side, len(rows) * side
    strongest, row, column = max((value, i, j) for i, row in enumerate(matrix) for j, value in enumerate(row))
    parts = [f'<rect class="frame" x="{left}" y="{top}" width="{width}" height="{height}"/>']
    for j, token in enumerate(columns):
        turned = f'transform="translate({left + j * side + 9} {top - 4}) rotate(-60)"'
        parts.append(f'<text class="small" {turned}>{escape(_token(token))}</text>')
    for i, looks in enumerate(matrix):
        label, middle = escape(_token(rows[i])), top + i * side + 9
        parts.append(f'<text class="small" x="{left - 4}" y="{middle}" text-anchor="end">{label}</text>')
        parts += [
            f'<rect class="heat" x="{left + j * side}" y="{top + i * side}" width="{side}" height="{side}" '
            f'fill-opacity="{value / strongest:.3f}"/>'
            for j, value in enumerate(looks)
            if value / strongest >= 2 * _SHOWN
        ]
    description = f"The strongest look: {_token(rows[row])} at {_token(columns[column])}, {strongest:.0%}"
    return figure(f"Attention of {name}", description, "".join(parts), left + width + 44, top + height + 4)


def _token(token: str) -> str:
    return _cut(token.replace("\n", "\\n").strip(), 11) or "space"


def _cut(label: str, length: int) -> str:
    return label if len(label) <= length else f"{label[: length - 1]}…"
