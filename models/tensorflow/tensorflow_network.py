"""The calls of `models/network.py`, answered by TensorFlow.

Each question is put in one of few shapes (`models/shapes.py`), and what was added is cut off the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.config import ModelConfig
from models.devices import CPU, Compute
from models.initialization import start
from models.network import MEMORY, TRUNK, Parts, Weights
from models.question import Arrays, Question, ask_each_row
from models.shapes import Fitted, fit
from models.tensorflow.compilation import Compiled
from models.tensorflow.devices import device_of, prepare
from models.tensorflow.module import named_parameters
from models.tensorflow.objectives import Batch, cross_entropy
from models.tensorflow.task_network import TaskNetwork
from models.twins import check_weights


class TensorFlowNetwork:
    """A TaskNetwork with numpy inputs and outputs. A backend trains the variables of its `module`, which are its `parameters`."""

    def __init__(self, parts: Parts, config: ModelConfig, compute: Compute = CPU) -> None:
        """Weights are 0, of norms 1, until `initialize` or `load_weights`. ValueError for parts, options or a device that TensorFlow's
        networks lack."""
        prepare()
        self.config, self.compute, self.device = config, compute, device_of(compute)
        with tf.device(self.device):
            self.module = TaskNetwork(parts, config)
        self.parameters = named_parameters(self.module)
        self._logits = Compiled(self._logits_of, self.device)
        self._nats = Compiled(
            lambda batch: cross_entropy(self.module.logits(batch.inputs, batch.places), batch.labels), self.device
        )
        self._vectors = Compiled(lambda batch: self.module.vectors(batch.inputs), self.device)
        self._maps = Compiled(lambda batch: self.module.attention_maps(batch.inputs), self.device)

    def initialize(self, seed: int) -> None:
        """Draw all weights."""
        for name, parameter in self.parameters.items():
            parameter.assign(start(name, tuple(parameter.shape), self.config, seed))

    @property
    def parts(self) -> list[str]:
        return list(self.module.parts)

    def fit(self, question: Question) -> tuple[Fitted, Batch]:
        """The question in one of few shapes, as arrays and as tensors."""
        fitted = fit(question, self.config.max_length)
        with tf.device(self.device):
            return fitted, Batch.of(fitted)

    def logits(self, question: Question, head: str = "") -> NDArray[np.float32]:
        fitted, batch = self.fit(question)
        return _numbers_of(self._logits(batch, head=head))[: fitted.answers]

    def nats(self, question: Question) -> NDArray[np.float32]:
        fitted, batch = self.fit(question)
        return _numbers_of(self._nats(batch))[: fitted.answers]

    def vectors(self, inputs: Arrays) -> NDArray[np.float32]:
        fitted, batch = self.fit(ask_each_row(inputs))
        return _numbers_of(self._vectors(batch))[: fitted.batch_size]

    def attends(self, part: str) -> bool:
        needed = TRUNK if part == MEMORY else (part,)
        return all(one in TRUNK and one in self.parts for one in needed)

    def attention(self, inputs: Arrays, part: str) -> list[NDArray[np.float32]]:
        fitted, batch = self.fit(ask_each_row(inputs))
        source = inputs["input_ids"].shape[1] if "input_ids" in inputs else None  # None: all patches of an image
        target = inputs["target_ids"].shape[1] if "target_ids" in inputs else source
        queries, keys = (source if part == "encoder" else target), (target if part == "decoder" else source)
        maps = self._maps(batch)[part]
        return [_numbers_of(one)[: fitted.batch_size, :, :queries, :keys] for one in maps]

    def weights(self) -> Weights:
        return {name: parameter.numpy().copy() for name, parameter in self.parameters.items()}

    def load_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """ValueError that names a tensor if one is missing, left over or of another shape."""
        check_weights(*({name: tuple(one.shape) for name, one in some.items()} for some in (self.parameters, weights)))
        for name, parameter in self.parameters.items():
            parameter.assign(weights[name])

    def _logits_of(self, batch: Batch, head: str) -> tf.Tensor:
        return self.module.logits(batch.inputs, batch.places, head)


def _numbers_of(tensor: tf.Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = tensor.numpy()
    return numbers
