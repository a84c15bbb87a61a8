"""Exponential moving average of weights: steadier than the weights themselves, and often better at a high learning rate.

Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; Morales-Brotons et al. 2024, "Exponential
moving average of weights in deep learning: dynamics and benefits" (arXiv 2411.18704), equation 1:

    a_t = d_t a_(t-1) + (1 - d_t) w_t        d_t = min(d, (1 + t) / (10 + t)), as tf.train.ExponentialMovingAverage has it

The smaller d_t of the first updates keeps the random start out of the average. An average of the last few evaluations' weights
(LAWA: Sanyal et al. 2023, arXiv 2306.03241) needs a copy for each of them; one with d = 1 - 1/n spans as many updates with one copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network import Weights
from training.averaging import SUFFIX, kept_share


class Averaging:
    """Averages of these parameters, which begin as copies of them."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters, self._decay = parameters, decay
        self._averages = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def add(self, number: int) -> None:
        """Take in the weights after the update of this number, counted from 0."""
        kept = kept_share(self._decay, number)
        torch._foreach_lerp_(list(self._averages.values()), list(self._parameters.values()), 1 - kept)

    @contextmanager
    def apply(self) -> Iterator[None]:
        """The averages in the parameters' place; afterwards these are what they were, to the last bit."""
        current = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(current)

    def state(self) -> Weights:
        """Copies of the averages, by names that no optimizer's state has."""
        return {f"{name}{SUFFIX}": average.cpu().numpy().copy() for name, average in self._averages.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Take the averages of a state, and return the rest of it."""
        for name, average in self._averages.items():
            average.copy_(torch.from_numpy(np.array(state[f"{name}{SUFFIX}"])))
        return {name: value for name, value in state.items() if not name.endswith(SUFFIX)}

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
