"""Exponential moving average of weights: steadier than the weights themselves, and often better at a high learning rate.

Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; Morales-Brotons et al. 2024, "Exponential
moving average of weights in deep learning: dynamics and benefits" (arXiv 2411.18704), equation 1:

    a_t = d_t a_(t-1) + (1 - d_t) w_t        d_t = min(d, (1 + t) / (10 + t)), as tf.train.ExponentialMovingAverage has it

The smaller d_t of the first updates keeps the random start out of the average.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from models.flax.flax_network import State


def add(average: Array, weight: Array, kept: Array) -> Array:
    """The average of one parameter with this weight taken in."""
    return average + (1 - kept) * (weight - average)


def copy(weights: State) -> State:
    """Averages to begin with: copies, since an update overwrites the weights' own memory."""
    return jax.tree.map(jnp.copy, weights)
