"""AdamW: Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2, as PyTorch has it.

    m_t = b1 m_(t-1) + (1 - b1) g_t;   v_t = b2 v_(t-1) + (1 - b2) g_t^2
    w_t = (1 - r d) w_(t-1) - r m_t / (1 - b1^t) / (sqrt(v_t / (1 - b2^t)) + e)

r is the rate, d the decay of matrices: it pulls to zero, which for biases and norms would be a loss without a gain. The decay comes first,
and e is added to the root that is corrected for its start; Keras adds it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.network import Weights
from models.tensorflow.compilation import Compiled

_EPSILON = 1e-8


class AdamW:
    """The optimizer of these parameters, and its state by PyTorch's names."""

    def __init__(
        self,
        parameters: Mapping[str, tf.Variable],
        scales: Mapping[str, float],
        weight_decay: float,
        betas: tuple[float, float],
        device: str,
    ) -> None:
        """`scales`: the factor of each parameter's learning rate."""
        self._parameters, self._betas = parameters, betas
        self._scales = np.array([scales[name] for name in parameters])
        self._decays = np.array([weight_decay if len(one.shape) > 1 else 0.0 for one in parameters.values()])
        with tf.device(device):
            self._first, self._second = (
                {name: tf.Variable(tf.zeros_like(one)) for name, one in parameters.items()} for _ in range(2)
            )
        self._steps = np.zeros(len(parameters))  # updates of each so far
        self.compiled = Compiled(self._step, device)

    def step(self, gradients: Sequence[tf.Tensor], learning_rate: float, factor: float) -> None:
        """Take the gradients times a factor. Rates are computed in double precision and rounded once."""
        self._steps += 1
        rates, (first, second) = learning_rate * self._scales, self._betas
        numbers = (
            1 - rates * self._decays,
            rates / (1 - first**self._steps),
            np.sqrt(1 - second**self._steps),
            np.array(factor),
        )
        self.compiled(list(gradients), *(tf.constant(each.astype(np.float32)) for each in numbers))

    def state(self) -> Weights:
        """Copies of the moments and the number of updates; nothing before the first."""
        found: Weights = {}
        for name, step in zip(self._parameters, self._steps, strict=True):
            if step:
                found[f"{name}/exp_avg"] = self._first[name].numpy().copy()
                found[f"{name}/exp_avg_sq"] = self._second[name].numpy().copy()
                found[f"{name}/step"] = np.array(step, np.float32)
        return found

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take a state."""
        for place, (name, parameter) in enumerate(self._parameters.items()):
            nothing = np.zeros(parameter.shape, np.float32)
            self._first[name].assign(state.get(f"{name}/exp_avg", nothing))
            self._second[name].assign(state.get(f"{name}/exp_avg_sq", nothing))
            self._steps[place] = float(state.get(f"{name}/step", 0.0))

    def _step(
        self, gradients: list[tf.Tensor], kept: tf.Tensor, rates: tf.Tensor, roots: tf.Tensor, factor: tf.Tensor
    ) -> None:
        """`kept`, `rates`, `roots` [P]: of each parameter 1 - r d, r / (1 - b1^t) and sqrt(1 - b2^t)."""
        beta, gamma = self._betas
        for place, (name, parameter) in enumerate(self._parameters.items()):
            gradient, first, second = gradients[place] * factor, self._first[name], self._second[name]
            first.assign(first + (1 - beta) * (gradient - first))
            second.assign(gamma * second + (1 - gamma) * gradient * gradient)
            step = rates[place] * first / (tf.sqrt(second) / roots[place] + _EPSILON)
            parameter.assign(kept[place] * parameter - step)
