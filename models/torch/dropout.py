"""Dropout that draws from the calling thread's own generator.

PyTorch's `dropout` draws from one generator for all threads, so that two shards of a batch, computed side by side, would have masks that
depend on which came first. Srivastava et al. 2014, "Dropout", section 4; masks are scaled by 1 / (1 - p) in training.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_drawing = threading.local()


@contextmanager
def draw_from(generator: torch.Generator) -> Iterator[None]:
    """Within, this thread's dropout draws from `generator`."""
    before = current_generator()
    _drawing.generator = generator
    try:
        yield
    finally:
        _drawing.generator = before


def current_generator() -> torch.Generator | None:
    """The generator of this thread; None: PyTorch's own."""
    generator: torch.Generator | None = getattr(_drawing, "generator", None)
    return generator


def dropout(x: Tensor, share: float, training: bool = True) -> Tensor:
    """Zeros at a share of the numbers, the others larger by as much."""
    if not training or not share:
        return x
    return x * torch.empty_like(x).bernoulli_(1 - share, generator=current_generator()).div_(1 - share)


def drop_rows(x: Tensor, share: float) -> Tensor:
    """Zeros at a share of the rows [B, ...], the others larger by as much (stochastic depth: Huang et al. 2016, arXiv 1603.09382)."""
    rows = torch.empty(len(x), *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device)
    return x * rows.bernoulli_(1 - share, generator=current_generator()) / (1 - share)
