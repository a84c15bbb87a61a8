"""The results of an evaluation, and the blocks of a task's section in the report: data, drawn elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from tasks.model import Model

Span = tuple[int, int, str]  # a place of a text: first character, the one after the last, kind


@dataclass(frozen=True)
class Evaluation:
    """A model's answers and those of the baselines to the same questions."""

    model: Model
    questions: pd.DataFrame  # id, expected, and the task's input
    predictions: pd.DataFrame  # prediction, probability
    baselines: Mapping[str, pd.DataFrame]
    scores: Mapping[str, Any]  # as in scores.json


@dataclass(frozen=True)
class Block:
    """A part of the report: a title, and a sentence that says how to read it."""

    title: str
    note: str


@dataclass(frozen=True)
class Table(Block):
    """Rows of values; numbers are aligned."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()


@dataclass(frozen=True)
class Lines(Block):
    """Curves: name -> (xs, ys)."""

    x: str = ""
    y: str = ""
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    diagonal: bool = False  # draw y = x, the ideal of a calibration plot
    powers: bool = False  # y in powers of ten; what is not above 0 is left out


@dataclass(frozen=True)
class Scatter(Block):
    """Dots: name -> (xs, ys)."""

    x: str = ""
    y: str = ""
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bars(Block):
    """One bar a label."""

    x: str = ""
    y: str = ""
    labels: Sequence[str] = ()
    values: Sequence[float] = ()


@dataclass(frozen=True)
class Heatmap(Block):
    """A matrix of numbers from 0 to 1; rows are `y`, columns `x`."""

    x: str = ""
    y: str = ""
    x_labels: Sequence[str] = ()
    y_labels: Sequence[str] = ()
    values: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class AttentionMaps(Block):
    """One small matrix for each head: which token (row) looks at which (column)."""

    tokens: Sequence[str] = ()  # of the columns
    maps: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    rows: Sequence[str] = ()  # tokens of the rows, where they are others


@dataclass(frozen=True)
class Texts(Block):
    """Texts under headings."""

    items: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Shades(Block):
    """Texts under headings, token by token: (text, strength of its colour from 0 to 1, tooltip)."""

    items: Sequence[tuple[str, Sequence[tuple[str, float, str]]]] = ()


@dataclass(frozen=True)
class Picture:
    """One image of a grid. `alt` describes it for screen readers, in more detail than the caption."""

    content: bytes  # of a PNG file
    caption: str
    alt: str


@dataclass(frozen=True)
class Images(Block):
    """A grid of images with captions."""

    items: Sequence[Picture] = ()


@dataclass(frozen=True)
class MarkedTexts(Block):
    """Texts under headings, each with the places that are to be found in it, and those that were found."""

    kinds: Sequence[str] = ()
    items: Sequence[tuple[str, str, Sequence[Span], Sequence[Span]]] = ()
