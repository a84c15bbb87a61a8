"""Exponential moving average of weights: steadier than the weights themselves, and often better at a high learning rate.

Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; Morales-Brotons et al. 2024, "Exponential
moving average of weights in deep learning: dynamics and benefits" (arXiv 2411.18704), equation 1:

    a_t = d_t a_(t-1) + (1 - d_t) w_t        d_t = min(d, (1 + t) / (10 + t)), as tf.train.ExponentialMovingAverage has it

The smaller d_t of the first updates keeps the random start out of the average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.network import Weights
from models.tensorflow.compilation import Compiled
from training.averaging import SUFFIX, kept_share


class Averaging:
    """Averages of these parameters, which begin as copies of them."""

    def __init__(self, parameters: Mapping[str, tf.Variable], decay: float, device: str) -> None:
        self._parameters, self._decay = parameters, decay
        with tf.device(device):
            self._averages = {name: tf.Variable(parameter) for name, parameter in parameters.items()}
        self.compiled = Compiled(self._add, device)

    def add(self, number: int) -> None:
        """Take in the weights after the update of this number, counted from 0."""
        kept = kept_share(self._decay, number)
        self.compiled(tf.constant(np.float32(1 - kept)))

    @contextmanager
    def apply(self) -> Iterator[None]:
        """The averages in the parameters' place; afterwards these are what they were, to the last bit."""
        current = {name: parameter.numpy().copy() for name, parameter in self._parameters.items()}
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(current)

    def state(self) -> Weights:
        """Copies of the averages, by names that no optimizer's state has."""
        return {f"{name}{SUFFIX}": average.numpy().copy() for name, average in self._averages.items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the averages of a state."""
        for name, average in self._averages.items():
            average.assign(state[f"{name}{SUFFIX}"])

    def _add(self, share: tf.Tensor) -> None:
        for name, average in self._averages.items():
            average.assign_add(share * (self._parameters[name] - average))

    def _put(self, values: Mapping[str, Any]) -> None:
        for name, parameter in self._parameters.items():
            parameter.assign(values[name])
