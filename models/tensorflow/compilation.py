"""Functions that TensorFlow compiles, once for each combination of shapes that they are called with.

Without XLA (`jit_compile`): on CPUs a graph of an update takes it three times as long to compile, and is computed no quicker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import tensorflow as tf


class Compiled:
    """A function of tensors, in tuples, lists and dicts, as graphs of concrete shapes. `seconds` counts the first call of each."""

    def __init__(self, function: Callable[..., Any], device: str) -> None:
        self._function, self._device = function, device
        self._graphs: dict[Hashable, Callable[..., Any]] = {}
        self._lock = threading.Lock()  # one graph is made at a time, and each of them once
        self.seconds = 0.0

    @property
    def shapes(self) -> int:
        """The number of graphs so far."""
        return len(self._graphs)

    def __call__(self, *tensors: Any, **constants: Hashable) -> Any:
        """The function of these tensors; each value of `constants` has graphs of its own."""
        key = (tuple(constants.items()), _shapes_of(tensors))
        if graph := self._graphs.get(key):
            return graph(*tensors)
        with self._lock:
            if graph := self._graphs.get(key):
                return graph(*tensors)
            begun = time.perf_counter()
            graph = self._trace(tensors, constants)
            answer = graph(*tensors)
            self._graphs[key] = graph
            self.seconds += time.perf_counter() - begun
        return answer

    def _trace(self, tensors: tuple[Any, ...], constants: Mapping[str, Hashable]) -> Callable[..., Any]:
        def compute(*tensors: Any) -> Any:
            with tf.device(self._device):
                return self._function(*tensors, **constants)

        function = tf.function(compute, autograph=False, reduce_retracing=False)
        graph: Callable[..., Any] = function.get_concrete_function(*tf.nest.map_structure(_spec_of, tensors))
        return graph


def _shapes_of(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple((name, _shapes_of(one)) for name, one in sorted(value.items()))
    if isinstance(value, tuple | list):
        return tuple(_shapes_of(one) for one in value)
    return value.dtype, tuple(value.shape)


def _spec_of(tensor: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype)
