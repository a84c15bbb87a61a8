"""Dropout whose masks are a function of a seed, of the place in the network, and of nothing else.

Srivastava et al. 2014, "Dropout", section 4; masks are scaled by 1 / (1 - p) in training. TensorFlow's `dropout` draws from a generator of
the whole program, so that masks depend on all that was drawn before; here each place folds its number into the seed of the update's shard.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import tensorflow as tf

_drawing = threading.local()


@contextmanager
def draw_from(seed: tf.Tensor | None) -> Iterator[None]:
    """Within, where a network is traced, its dropout draws from a seed [2]. With None, as without this, nothing is dropped."""
    before = _seeds()
    _drawing.seeds = None if seed is None else (tf.random.experimental.stateless_fold_in(seed, n) for n in count())
    try:
        yield
    finally:
        _drawing.seeds = before


def is_training() -> bool:
    """Whether dropout draws."""
    return _seeds() is not None


def dropout(x: tf.Tensor, share: float) -> tf.Tensor:
    """Zeros at a share of the numbers, the others larger by as much."""
    seeds = _seeds()
    if seeds is None or not share:
        return x
    # Philox is the same on every device; `auto_select` may be another.
    return tf.nn.experimental.stateless_dropout(x, share, next(seeds), "philox")


def drop_rows(x: tf.Tensor, share: float) -> tf.Tensor:
    """Zeros at a share of the rows [B, ...], the others larger by as much (stochastic depth: Huang et al. 2016, arXiv 1603.09382)."""
    return x * dropout(tf.ones([x.shape[0]] + [1] * (len(x.shape) - 1)), share)


def _seeds() -> Iterator[tf.Tensor] | None:
    seeds: Iterator[tf.Tensor] | None = getattr(_drawing, "seeds", None)
    return seeds
