"""Functions that XLA compiles, once for each set of shapes, with the time that it takes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import Any

import jax


class Compiled:
    """A function of arrays, and trees of them, compiled when its arguments' shapes are new. `seconds` and `shapes`: the time spent on
    that so far, and how often."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        """`options`: those of `jax.jit`."""
        self._jitted, self._programs, self._lock = jax.jit(function, **options), dict[Any, Any](), Lock()
        self.seconds = 0.0

    @property
    def shapes(self) -> int:
        return len(self._programs)

    def __call__(self, *arguments: Any) -> Any:
        leaves, tree = jax.tree.flatten(arguments)
        key = tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        program = self._programs.get(key)
        return (program or self._compile(key, arguments))(*arguments)

    def _compile(self, key: Any, arguments: tuple[Any, ...]) -> Any:
        with self._lock:  # threads that meet the same shape compile it once
            if key not in self._programs:
                begin = perf_counter()
                self._programs[key] = self._jitted.lower(*arguments).compile()
                self.seconds += perf_counter() - begin
            return self._programs[key]
