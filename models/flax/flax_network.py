"""The calls of `models/network.py`, answered by Flax.

A network is split once, into its graph and its numbers (`nnx.split`); compiled functions take the numbers, by the checkpoint's names,
and put both together again (`nnx.merge`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from models.config import ModelConfig
from models.devices import CPU, Compute
from models.flax.batch import Batch, batch_of
from models.flax.compilation import Compiled
from models.flax.devices import device_of
from models.flax.objectives import cross_entropy
from models.flax.task_network import TaskNetwork, named_parameters, submodule
from models.initialization import start
from models.network import MEMORY, TRUNK, Parts, Weights
from models.question import Arrays, Question, ask_each_row
from models.twins import check_weights

State = dict[str, Array]  # parameters by their names in the checkpoint


class FlaxNetwork:
    """A TaskNetwork with numpy inputs and outputs. A backend trains its `state`."""

    def __init__(self, parts: Parts, config: ModelConfig, compute: Compute = CPU) -> None:
        """Weights are 0 until `initialize` or `load_weights`. ValueError for parts that Flax lacks."""
        self.config, self.compute, self.device = config, compute, device_of(compute)
        network = TaskNetwork(parts, config)
        self.parts = network.children
        parameters = named_parameters(network)
        names = {id(parameter): name for name, parameter in parameters.items()}
        self._graph, state = nnx.split(network)
        paths = (path for path, _ in nnx.to_flat_state(state))
        # Which of its two places names a shared parameter: Flax takes the first of the alphabet, PyTorch the first that was there.
        self._paths = {names[id(submodule(network, ".".join(map(str, path))))]: path for path in paths}
        self.state: State = self._put({name: np.asarray(one[...]) for name, one in parameters.items()})
        self._compiled: dict[Any, Compiled] = {}
        self._nats = Compiled(cross_entropy)

    def initialize(self, seed: int) -> None:
        """Draw all weights."""
        self.state = self._put(
            {name: start(name, value.shape, self.config, seed) for name, value in self.state.items()}
        )

    def module(self, state: State) -> TaskNetwork:
        """The network with these numbers, within a compiled function."""
        return nnx.merge(self._graph, nnx.from_flat_state({self._paths[name]: value for name, value in state.items()}))

    def logits(self, question: Question, head: str = "") -> NDArray[np.float32]:
        return np.asarray(self._logits(batch_of(question, self.config), head))[: len(question.places)]

    def nats(self, question: Question) -> NDArray[np.float32]:
        batch = batch_of(question, self.config)
        return np.asarray(self._nats(self._logits(batch), batch.labels))[: len(question.places)]

    def vectors(self, inputs: Arrays) -> NDArray[np.float32]:
        def compute(network: TaskNetwork, batch: Batch) -> Array:
            return network.vectors(batch.inputs)

        question = ask_each_row(inputs)
        return np.asarray(self._ask("vectors", compute, batch_of(question, self.config)))[: question.batch_size]

    def attends(self, part: str) -> bool:
        needed = TRUNK if part == MEMORY else (part,)
        return all(one in TRUNK and one in self.parts for one in needed)

    def attention(self, inputs: Arrays, part: str) -> list[NDArray[np.float32]]:
        def compute(network: TaskNetwork, batch: Batch) -> list[Array]:
            return _maps(network, batch.inputs, part)

        question = ask_each_row(inputs)
        maps = self._ask(("attention", part), compute, batch_of(question, self.config))
        read, written = (inputs[one].shape[1] if one in inputs else None for one in ("input_ids", "target_ids"))
        queries = written if "decoder" in self.parts and "encoder" in self.parts and part != "encoder" else read
        keys = read if part == MEMORY else queries
        return [np.asarray(one)[: question.batch_size, :, :queries, :keys] for one in maps]

    def weights(self) -> Weights:
        return {name: np.array(value) for name, value in self.state.items()}

    def load_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """ValueError that names a tensor if one is missing, left over or of another shape."""
        check_weights(*({name: tuple(one.shape) for name, one in some.items()} for some in (self.state, weights)))
        self.state = self._put({name: weights[name] for name in self.state})

    def _put(self, weights: Mapping[str, NDArray[Any]]) -> State:
        # A copy: JAX may take an array's memory as it is, and a caller may write in it.
        return {name: jax.device_put(np.array(value, np.float32), self.device) for name, value in weights.items()}

    def _logits(self, batch: Batch, head: str = "") -> Array:
        def compute(network: TaskNetwork, batch: Batch) -> Array:
            return network.logits(batch.inputs, batch.places, head)

        return self._ask(("logits", head), compute, batch)

    def _ask(self, key: Any, compute: Callable[[TaskNetwork, Batch], Any], batch: Batch) -> Any:
        """A function of the network and a batch, compiled under this key."""
        if key not in self._compiled:
            self._compiled[key] = Compiled(lambda state, batch: compute(self.module(state), batch))
        return self._compiled[key](self.state, batch)


def _maps(network: Any, inputs: Mapping[str, Array], part: str) -> list[Array]:
    """Attention of a part, [B, H, T, S] of each layer."""
    mask = inputs.get("attention_mask")
    if part == "encoder":
        maps: list[Array] = network.encoder.attention_maps(
            inputs["pixels" if "pixels" in inputs else "input_ids"], mask
        )
        return maps
    if "encoder" not in network.children:
        return [own for own, _ in network.decoder.attention_maps(inputs["input_ids"])]
    memory = network.encoder(inputs["input_ids"], mask)
    both = network.decoder.attention_maps(inputs["target_ids"], memory=memory, memory_mask=mask)
    return [cross if part == MEMORY else own for own, cross in both]
