"""The loop's calls, answered by TensorFlow.

An update's shards are computed side by side, each by one thread, and added in the tree of `training/shards.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import add as add_numbers
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.network import Weights
from models.question import Objective, Question
from models.shapes import merge
from models.tensorflow.compilation import Compiled
from models.tensorflow.devices import prepare as prepare_device
from models.tensorflow.dropout import draw_from
from models.tensorflow.objectives import Batch, function_of, sum_by_row
from models.tensorflow.tensorflow_network import TensorFlowNetwork
from training.backend import Answer, Item, RowLosses, Update
from training.depths import frozen_names, rate_scales
from training.errors import TrainingError
from training.options import TrainingOptions
from training.shards import add_in_tree, map_in_threads, map_in_turn
from training.tensorflow.adamw import AdamW
from training.tensorflow.averaging import Averaging
from training.twins import check_training

Gradients = list[tf.Tensor]


class TensorFlowBackend:
    """AdamW on a network with weights in float32.

    `compile_seconds` and `compiled_shapes`: time for the first call of each graph, and how many shapes of questions have one.
    """

    def __init__(
        self,
        network: TensorFlowNetwork,
        objective: Objective,
        options: TrainingOptions,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        """TrainingError for options that only PyTorch's backend has."""
        check_training("tensorflow", objective, options)
        self.network, self.options = network, options
        self._contrasts = objective.name == "contrast"
        self._objective = _function_of(objective, options)
        device, constant = network.device, frozen_names(network.parameters, options)
        self._learning = {name: one for name, one in network.parameters.items() if name not in constant}
        scales = rate_scales(network.parameters, options)
        self._adamw = AdamW(self._learning, scales, options.weight_decay, betas, device)
        self._averaging = Averaging(self._learning, options.ema, device) if options.ema else None
        self._sum, self._row_losses = Compiled(self._sum_of, device), Compiled(self._by_row, device)
        self._add, self._mean = Compiled(_add, device), Compiled(_mean, device)
        self._map_items = map_in_threads if network.compute.shares_cores else map_in_turn

    @property
    def compile_seconds(self) -> float:
        each = [self._sum, self._row_losses, self._add, self._mean, self._adamw.compiled]
        return sum(one.seconds for one in (*each, *([self._averaging.compiled] if self._averaging else [])))

    @property
    def compiled_shapes(self) -> int:
        return self._sum.shapes + self._row_losses.shapes

    def update(self, shards: Sequence[Question], number: int, learning_rate: float) -> Update:
        answers = sum(len(shard.places) for shard in shards)
        if self._contrasts:  # a row's negatives are in all shards
            shards = [merge(shards)]
        sums = self._map_items(
            lambda place: self._of_shard(shards[place], self._seed(number, place)), range(len(shards))
        )
        loss = add_in_tree([float(loss) for loss, _ in sums], add_numbers) / max(1, answers)
        total = add_in_tree([gradients for _, gradients in sums], self._add)
        gradients, norm = self._mean(total, tf.constant(max(1, answers), tf.float32))
        norm = float(norm)
        if np.isfinite(loss) and np.isfinite(norm):
            clip = self.options.clip
            self._adamw.step(gradients, learning_rate, clip / (norm + 1e-6) if norm > clip else 1.0)
            if self._averaging:
                self._averaging.add(number)
        return Update(loss, answers, norm)

    def gradients(self, question: Question) -> tuple[float, Weights]:
        """The sum of the losses of a question, and its gradient by every parameter, without dropout."""
        _, batch = self.network.fit(question)
        loss, gradients = self._sum(batch, everything=True)
        named = zip(self.network.parameters, gradients, strict=True)
        return float(loss), {name: gradient.numpy().copy() for name, gradient in named}

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        return self._map_items(function, items)

    def row_losses(self, question: Question) -> RowLosses:
        fitted, batch = self.network.fit(question)
        return RowLosses(self._row_losses(batch).numpy()[: fitted.batch_size], question.targets)

    def average(self) -> AbstractContextManager[None]:
        return self._averaging.apply() if self._averaging else nullcontext()

    def weights(self) -> Weights:
        return self.network.weights()

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.network.load_weights(weights)

    def optimizer(self) -> Weights:
        return (self._averaging.state() if self._averaging else {}) | self._adamw.state()

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._adamw.load(state)
        if self._averaging:
            self._averaging.load(state)

    def _of_shard(self, question: Question, seed: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
        _, batch = self.network.fit(question)
        loss, gradients = self._sum(batch, seed)
        return loss, gradients

    def _sum_of(
        self, batch: Batch, seed: tf.Tensor | None = None, everything: bool = False
    ) -> tuple[tf.Tensor, Gradients]:
        """The sum of a batch's losses, and its gradients; with a seed for dropout."""
        parameters = list((self.network.parameters if everything else self._learning).values())
        with draw_from(seed), tf.GradientTape(watch_accessed_variables=False) as tape:
            for parameter in parameters:
                tape.watch(parameter)
            loss = tf.reduce_sum(self._objective(self.network.module, batch).each)
        gradients = tape.gradient(loss, parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]  # a table's are slices

    def _by_row(self, batch: Batch) -> tf.Tensor:
        return sum_by_row(self._objective(self.network.module, batch), batch.more["row_weights"].shape[0])

    def _seed(self, number: int, shard: int) -> tf.Tensor:
        """Of the masks of an update's shard: a function of these alone, it needs no place in a checkpoint."""
        key = np.random.SeedSequence([self.options.seed, number, shard])
        return tf.constant(key.generate_state(2, np.uint32).view(np.int32))


def prepare(folder: Path | None = None) -> None:
    """Make TensorFlow repeatable on any number of cores."""
    prepare_device()


def _function_of(objective: Objective, options: TrainingOptions) -> Any:
    """The objective as a function, with the training's options."""
    try:
        return function_of(objective, options.label_smoothing)
    except ValueError as error:
        raise TrainingError(str(error)) from None


def _add(one: Gradients, other: Gradients) -> Gradients:
    return [first + second for first, second in zip(one, other, strict=True)]


def _mean(totals: Gradients, answers: tf.Tensor) -> tuple[Gradients, tf.Tensor]:
    """Gradients of the mean loss, and their norm."""
    gradients = [total / answers for total in totals]
    return gradients, tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in gradients]))
