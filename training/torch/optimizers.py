"""The optimizers of one training, by kind of parameter, and their state as arrays by name.

muon    the trunk's linear layers, with `optimizer=muon`
adam    the table of token pairs, whose gradient has the rows of one batch alone (`torch.optim.SparseAdam`): the others are
        millions of numbers that do not change
adamw   everything else
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network import Weights
from models.torch.embedding import PairEmbedding
from training.options import TrainingOptions
from training.torch.muon import Muon
from training.torch.parameter_groups import Named, groups, parts_of

_LARGE = 4096  # rows of a table


def build(
    learning: Named, matrices: Named, tables: Named, scales: Mapping[str, float], options: TrainingOptions,
    betas: tuple[float, float], parts: int,
) -> list[torch.optim.Optimizer]:  # fmt: skip
    """Optimizers of the parameters that learn: of each kind one for each of so many parts of them, which threads can step side by
    side. Each group has the `scale` of its learning rate."""
    hidden = matrices if options.optimizer == "muon" else {}
    sparse = {name: parameter for name, parameter in learning.items() if name in tables}
    rest = {name: parameter for name, parameter in learning.items() if name not in hidden and name not in sparse}
    made: list[torch.optim.Optimizer] = [
        Muon(groups(part, scales, options.weight_decay)) for part in _parts_of(hidden, parts)
    ]
    made += [
        torch.optim.AdamW(groups(part, scales, options.weight_decay), lr=0.0, betas=betas, eps=1e-8, fused=True)
        for part in _parts_of(rest, parts)
    ]
    if sparse:
        by_scale = [{"params": [parameter], "scale": scales[name]} for name, parameter in sparse.items()]
        made.append(torch.optim.SparseAdam(by_scale, lr=1.0, betas=betas, eps=1e-8))
    return made


def _parts_of(named: Named, count: int) -> list[Named]:
    return [{name: named[name] for name in part} for part in parts_of(named, lambda name: named[name].numel(), count)]


def gradients_of(optimizer: torch.optim.Optimizer) -> dict[int, Tensor]:
    """The numbers of its parameters' gradients, by `id` of the parameter; of a sparse one those of its rows."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = {id(parameter): parameter.grad for parameter in parameters if parameter.grad is not None}
    return {key: numbers._values() if numbers.is_sparse else numbers for key, numbers in gradients.items()}


class Map(Protocol):
    """Results of a function in the order of the items, computed side by side."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]: ...


class Descent:
    """From sums of gradients to the next weights, a part of the parameters in each thread. Only the norm of all gradients joins them,
    and it is computed from the norm of each in one order: the parts change no byte.

    Parameters that move, and the optimizers of those that learn, which may be others (LoRA's factors).
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        learning: Iterable[nn.Parameter],
        tables: set[int],
        optimizers: Sequence[torch.optim.Optimizer],
        parts: int,
        side_by_side: Map,
    ) -> None:
        """`tables`: parameters whose optimizer takes a sparse gradient, by `id`."""
        self._order = [id(parameter) for parameter in learning]
        self._parameters, self._tables, self._optimizers, self._map = parameters, tables, optimizers, side_by_side
        self.parts = parts_of(range(len(parameters)), lambda place: parameters[place].numel(), parts)

    def set_gradients(self, totals: Sequence[Tensor | None], divisor: float) -> None:
        """Give each parameter its gradient of the mean loss."""

        def set_part(places: Sequence[int]) -> None:
            for place in places:
                parameter, total = self._parameters[place], totals[place]
                parameter.grad = None if total is None else self._mean(parameter, total, divisor)

        self._map(set_part, self.parts)

    def norm(self) -> float:
        """The norm of all gradients."""

        def norms_of(optimizer: torch.optim.Optimizer) -> dict[int, Tensor]:
            return {key: torch.linalg.vector_norm(numbers) for key, numbers in gradients_of(optimizer).items()}

        norms = {key: norm for part in self._map(norms_of, self._optimizers) for key, norm in part.items()}
        each = [norms[key] for key in self._order if key in norms]
        return torch.linalg.vector_norm(torch.stack(each)).item() if each else 0.0

    def step(self, learning_rate: float, norm: float, clip: float) -> None:
        """Scale gradients of this norm down to `clip`, and let the optimizers take them."""

        def step_part(optimizer: torch.optim.Optimizer) -> None:
            if norm > clip:
                torch._foreach_mul_(list(gradients_of(optimizer).values()), clip / (norm + 1e-6))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["scale"]
            optimizer.step()

        self._map(step_part, self._optimizers)

    def _mean(self, parameter: nn.Parameter, total: Tensor, divisor: float) -> Tensor:
        """A gradient of the mean loss: sparse for a table of pairs, else of its parameter's shape."""
        if not total.is_sparse:
            # Fused optimizers read a gradient as if it lay in memory as its parameter does; that of a convolution may not.
            return torch.div(total, divisor, out=torch.empty_like(parameter))
        if id(parameter) in self._tables:
            return total.coalesce() / divisor
        return total._values().new_zeros(total.shape).index_add_(0, total._indices()[0], total._values() / divisor)


def use_sparse_gradients(module: nn.Module) -> dict[str, nn.Parameter]:
    """Let large tables of vectors give the gradients of the rows that a batch used: a shard then neither makes nor adds millions of
    zeros. Returns the tables of pairs."""
    for table in module.modules():
        if isinstance(table, nn.Embedding):
            table.sparse = isinstance(table, PairEmbedding) or table.num_embeddings >= _LARGE
    pairs = {id(table.weight) for table in module.modules() if isinstance(table, PairEmbedding)}
    return {name: parameter for name, parameter in module.named_parameters() if id(parameter) in pairs}


def state_of(optimizers: Sequence[torch.optim.Optimizer], names: Mapping[int, str]) -> Weights:
    """Copies of their state; `names` are those of parameters by `id`."""
    weights: Weights = {}
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                # A count of updates is a tensor in one optimizer and an int in another.
                array = value.detach().cpu().numpy().copy() if isinstance(value, Tensor) else np.array(value, np.int64)
                weights[f"{names[id(parameter)]}/{key}"] = array
    return weights


def load_state(
    optimizers: Sequence[torch.optim.Optimizer], names: Mapping[int, str], state: Mapping[str, NDArray[Any]]
) -> None:
    """Take a state of `state_of`."""
    by_parameter: dict[str, dict[str, Tensor | int]] = {}
    for name, value in state.items():
        parameter, _, key = name.rpartition("/")
        tensor = torch.from_numpy(np.array(value))
        by_parameter.setdefault(parameter, {})[key] = int(value) if tensor.dtype == torch.int64 else tensor
    for optimizer in optimizers:
        optimizer.state.clear()  # before its first update it has none
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if (name := names[id(parameter)]) in by_parameter:
                    optimizer.state[parameter] = {
                        key: value.to(parameter.device) if isinstance(value, Tensor) else value
                        for key, value in by_parameter[name].items()
                    }
