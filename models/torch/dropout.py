"""Dropout that draws from the calling thread's own generator.

PyTorch's `dropout` draws from one generator for all threads, so that two shards of a batch, computed side by side, would have masks that
depend on which came first. Srivastava et al. 2014, "Dropout", section 4; masks are scaled by 1 / (1 - p) in training.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

_drawing = threading.local()


@dataclass(frozen=True)
class Part:
    """A run of a batch's rows that is computed by itself: its masks are these rows of the whole batch's.

    `chosen`: which of the whole batch's rows are this part's, [B]; and which of its answers, [M], as some heads are given these alone.
    Masks that are of neither (of tokens without padding) are drawn from `own`.
    """

    chosen: Sequence[Tensor]
    own: torch.Generator


@contextmanager
def draw_from(generator: torch.Generator, part: Part | None = None) -> Iterator[None]:
    """Within, this thread's dropout draws from `generator`."""
    before = current_generator(), _current_part()
    _drawing.generator, _drawing.part = generator, part
    try:
        yield
    finally:
        _drawing.generator, _drawing.part = before


def current_generator() -> torch.Generator | None:
    """The generator of this thread; None: PyTorch's own."""
    generator: torch.Generator | None = getattr(_drawing, "generator", None)
    return generator


def _current_part() -> Part | None:
    part: Part | None = getattr(_drawing, "part", None)
    return part


def dropout(x: Tensor, share: float, training: bool = True) -> Tensor:
    """Zeros at a share of the numbers, the others larger by as much."""
    if not training or not share:
        return x
    return x * _draw(torch.empty_like(x), 1 - share).div_(1 - share)


def drop_rows(x: Tensor, share: float) -> Tensor:
    """Zeros at a share of the rows [B, ...], the others larger by as much (stochastic depth: Huang et al. 2016, arXiv 1603.09382)."""
    rows = torch.empty(len(x), *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device)
    return x * _draw(rows, 1 - share) / (1 - share)


def _draw(mask: Tensor, share: float) -> Tensor:
    """Ones at a share of a mask's places, and zeros."""
    part = _current_part()
    if part is None:
        return _fill(mask, share, current_generator())
    for chosen in part.chosen:
        if len(mask) == chosen.sum():
            return _fill(_lie_as(mask, len(chosen)), share, current_generator())[chosen]
    return _fill(mask, share, part.own)


def _fill(mask: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """The mask itself, filled in the order in which its numbers lie in memory.

    On a CPU `bernoulli_` draws a number for each place. Four of 16 bits from one of 64 take a quarter of the time; shares are then
    multiples of 1 / 65,536.
    """
    if mask.device.type != "cpu":
        return mask.bernoulli_(share, generator=generator)
    count = mask.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    ones = words.view(torch.int16)[:count] < round(share * 2**16) - 2**15
    mask.as_strided((count,), (1,)).copy_(ones)
    return mask


def _lie_as(mask: Tensor, rows: int) -> Tensor:
    """An empty mask of so many rows, in memory in the order of this one's dimensions: numbers are drawn in this order."""
    order = sorted(range(mask.ndim), key=lambda place: mask.stride(place), reverse=True)
    shape = (rows, *mask.shape[1:])
    return mask.new_empty([shape[place] for place in order]).permute([order.index(place) for place in range(mask.ndim)])
