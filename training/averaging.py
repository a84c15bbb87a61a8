"""Averages of weights in every framework: how much of the last average is kept, and their name in a checkpoint. The equation and its
papers: training/torch/averaging.py."""

from __future__ import annotations

SUFFIX = "/average"  # of a parameter's name, in the optimizer's state


def kept_share(decay: float, number: int) -> float:
    """d_t of the update of this number, counted from 0: min(d, (1 + t) / (10 + t))."""
    return min(decay, (1 + number) / (10 + number))
