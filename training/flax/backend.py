"""The loop's calls, answered by Flax and Optax.

An update's shards are computed side by side, each by one thread, and added in the tree of `training/shards.py`. Everything that
computes is a function of the numbers it is given, compiled by XLA once for each shape (`models/shapes.py` keeps them few).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import add as add_numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from models.chance import generator_of
from models.flax.batch import Batch, batch_of
from models.flax.compilation import Compiled
from models.flax.devices import prepare
from models.flax.dropout import rngs_of
from models.flax.flax_network import FlaxNetwork, State
from models.flax.objectives import Contrast, function_of, sum_by_row
from models.network import Weights
from models.question import Objective, Question
from models.shapes import merge
from training.averaging import SUFFIX, kept_share
from training.backend import Answer, Item, RowLosses, Update
from training.depths import frozen_names, rate_scales
from training.errors import TrainingError
from training.flax import averaging
from training.flax.optimizers import AdamW, arrays_of, moments_of
from training.options import TrainingOptions
from training.shards import add_in_tree, map_in_threads, map_in_turn
from training.twins import check_training

__all__ = ["FlaxBackend", "prepare"]


class FlaxBackend:
    """AdamW on a network with weights in float32."""

    def __init__(
        self,
        network: FlaxNetwork,
        objective: Objective,
        options: TrainingOptions,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        """TrainingError for an objective, or an option, that Flax does not have."""
        check_training("flax", objective, options)
        self.network, self.options = network, options
        self._objective = _function_of(objective, options)
        names = list(network.state)
        self._frozen = frozen_names(names, options)
        self._learning = [name for name in names if name not in self._frozen]
        self._adamw = AdamW(rate_scales(names, options), options, betas)
        self._moments = self._adamw.start(self._weights_that_learn)
        self._averages = averaging.copy(self._weights_that_learn) if options.ema else {}
        self._differentiate, self._losses = Compiled(jax.value_and_grad(self._loss)), Compiled(self._by_row)
        self._differentiate_plainly = Compiled(jax.value_and_grad(self._plain_loss))
        self._average = Compiled(averaging.add, donate_argnums=0)
        self._map_items = map_in_threads if network.compute.shares_cores else map_in_turn

    @property
    def compile_seconds(self) -> float:
        """Seconds spent on compiling so far."""
        each = (self._differentiate, self._differentiate_plainly, self._losses, self._average)
        return sum(one.seconds for one in each) + self._adamw.compile_seconds

    @property
    def compiled_shapes(self) -> int:
        """Shapes of questions that were compiled for so far."""
        return self._differentiate.shapes + self._differentiate_plainly.shapes + self._losses.shapes

    def update(self, shards: Sequence[Question], number: int, learning_rate: float) -> Update:
        answers = sum(len(shard.places) for shard in shards)
        if isinstance(self._objective, Contrast):  # a row's negatives are in all shards
            shards = [merge(shards)]
        sums = self.map(lambda place: self._of_shard(shards[place], number, place), range(len(shards)))
        loss = add_in_tree([float(one) for one, _ in sums], add_numbers) / max(1, answers)
        totals = add_in_tree([one for _, one in sums], lambda one, other: jax.tree.map(jnp.add, one, other))
        norm = self._adamw.norm(totals) / max(1, answers)
        if np.isfinite(loss) and np.isfinite(norm):
            weights, self._moments = self._adamw.step(
                self._weights_that_learn, self._moments, totals, answers=max(1, answers), norm=norm, rate=learning_rate
            )
            self.network.state = {**self.network.state, **weights}
            if self._averages:
                kept = np.float32(kept_share(self.options.ema, number))
                self._averages = {name: self._average(one, weights[name], kept) for name, one in self._averages.items()}
        return Update(loss, answers, norm)

    def gradients(self, question: Question) -> tuple[float, Weights]:
        """The summed loss of a question and its gradients, by name, without dropout or smoothing."""
        batch = batch_of(question, self.network.config)
        loss, gradients = self._differentiate_plainly(self.network.state, batch)
        return float(loss), {name: np.array(gradients[name]) for name in self.network.state}

    def row_losses(self, question: Question) -> RowLosses:
        each = self._losses(self.network.state, batch_of(question, self.network.config))
        return RowLosses(np.array(each)[: question.batch_size], question.targets)

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        return self._map_items(function, items)

    @contextmanager
    def average(self) -> Iterator[None]:
        current = self.network.state
        self.network.state = {**current, **self._averages}
        try:
            yield
        finally:
            self.network.state = current

    def weights(self) -> Weights:
        return self.network.weights()

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.network.load_weights(weights)

    def optimizer(self) -> Weights:
        averages = {f"{name}{SUFFIX}": np.array(value) for name, value in self._averages.items()}
        return averages | arrays_of(self._moments)

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        moments = moments_of(state, self._adamw.start(self._weights_that_learn))
        averages = {name: np.asarray(state[f"{name}{SUFFIX}"]) for name in self._averages}
        # Copies: JAX may take an array's memory as it is, and a step overwrites its own.
        copies = jax.tree.map(np.array, (moments, averages))
        self._moments, self._averages = jax.device_put(copies, self.network.device)

    @property
    def _weights_that_learn(self) -> State:
        return {name: self.network.state[name] for name in self._learning}

    def _of_shard(self, question: Question, number: int, shard: int) -> tuple[Array, State]:
        """Summed loss and gradients of one shard, with its own dropout: a function of the seed, the update and the shard."""
        key = generator_of(self.options.seed, number, shard).integers(2**32, size=4, dtype=np.uint32)
        fixed = {name: self.network.state[name] for name in self._frozen}
        return self._differentiate(self._weights_that_learn, fixed, batch_of(question, self.network.config), key)

    def _loss(self, learning: State, fixed: State, batch: Batch, key: Array) -> Array:
        network = self.network.module({**learning, **fixed})
        return self._objective(network, batch, rngs_of(key)).each.sum()

    def _plain_loss(self, state: State, batch: Batch) -> Array:
        return self._objective(self.network.module(state), batch, None).each.sum()

    def _by_row(self, state: State, batch: Batch) -> Array:
        terms = self._objective(self.network.module(state), batch, None)
        return sum_by_row(terms, len(next(iter(batch.inputs.values()))))


def _function_of(objective: Objective, options: TrainingOptions) -> Any:
    """The objective as a function, with the training's options."""
    more = {"label_smoothing": options.label_smoothing} if objective.name == "choices" else {}
    try:
        return function_of(Objective(objective.name, {**objective.options, **more}))
    except ValueError as error:
        raise TrainingError(str(error)) from None
