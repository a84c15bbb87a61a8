"""Encodings of positions that depend on lengths and distances alone, as tables that numpy computes: Flax and TensorFlow take them as
constants.

Their compilers round sines, powers and logarithms as they please. Here these are computed in double precision and rounded to single once,
or at each step where PyTorch's code rounds. The equations and papers: models/torch/positions.py.

Shapes: T positions, R x S a grid of patches, N = R S, K head width, D d_model.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]


def sinusoidal(length: int, width: int) -> Table:
    """[T, D] of the first positions: sines at even places, cosines at odd ones."""
    rates = np.exp(np.arange(0, width, 2, dtype=np.float64) * (-math.log(10_000.0) / width))
    angles = np.arange(length, dtype=np.float64)[:, None] * rates  # [T, D/2]
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, -1)[:, :width].astype(np.float32)


def sinusoidal_of_grid(grid: tuple[int, int], width: int) -> Table:
    """[N, D]: half of each vector says the row, half the column (Beyer et al. 2022, arXiv 2205.01580, section 3)."""
    rows, columns = (sinusoidal(count, width // 2) for count in grid)
    return np.concatenate([np.repeat(rows, grid[1], 0), np.tile(columns, (grid[0], 1))], -1)


def rotary(length: int, width: int, base: float) -> tuple[Table, Table]:
    """Cosines and sines [T, K] of the angles of RoPE.

    Exponents, rates and angles are rounded to single precision one by one, as Llama's code has them: otherwise the angles of far
    positions are not those that its weights were trained with (at position 4000 by 6e-5).
    """
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    rates = np.float32(1) / np.power(float(np.float32(base)), exponents.astype(np.float64)).astype(np.float32)
    angles = np.tile(np.arange(length, dtype=np.float32)[:, None] * rates, 2).astype(np.float64)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def slopes(heads: int) -> list[float]:
    """ALiBi's slope of each head. For a number of heads that is no power of two they are those of the paper's own code: the next lower
    power's, and every other one of the power above."""
    power = 2 ** math.floor(math.log2(heads))
    own = [2.0 ** (-8 * (h + 1) / power) for h in range(power)]
    return own if power == heads else own + slopes(2 * power)[0::2][: heads - power]


def bucket(distance: NDArray[Any], buckets: int, furthest: int, *, bidirectional: bool) -> NDArray[np.int32]:
    """T5's bucket of each distance p_k - p_q, in numbers rounded as PyTorch rounds them: an edge may lie on a whole one."""
    offset = np.zeros_like(distance)
    if bidirectional:  # half of the buckets for what comes before, half for what comes after
        buckets //= 2
        offset = (distance > 0) * buckets
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    exact = buckets // 2
    share = np.log((np.maximum(distance, 1).astype(np.float32) / np.float32(exact)).astype(np.float64)).astype(
        np.float32
    )
    share = share / np.float32(math.log(furthest / exact)) * np.float32(buckets - exact)
    far = np.minimum(exact + share.astype(np.int64), buckets - 1)
    return (offset + np.where(distance < exact, distance, far)).astype(np.int32)
