"""The optimizers of one training, by kind of parameter, and their state as arrays by name.

muon    the trunk's linear layers, with `optimizer=muon`
adam    the table of token pairs, whose gradient has the rows of one batch alone (`torch.optim.SparseAdam`): the others are
        millions of numbers that do not change
adamw   everything else
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network import Weights
from models.torch.embedding import PairEmbedding
from training.options import TrainingOptions
from training.torch.muon import Muon
from training.torch.parameter_groups import Named, groups

_LARGE = 4096  # rows of a table


def build(
    learning: Named, matrices: Named, tables: Named, scales: Mapping[str, float], options: TrainingOptions,
    betas: tuple[float, float],
) -> list[torch.optim.Optimizer]:  # fmt: skip
    """Optimizers of the parameters that learn. Each group has the `scale` of its learning rate."""
    hidden = matrices if options.optimizer == "muon" else {}
    sparse = {name: parameter for name, parameter in learning.items() if name in tables}
    rest = {name: parameter for name, parameter in learning.items() if name not in hidden and name not in sparse}
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups(rest, scales, options.weight_decay), lr=0.0, betas=betas, eps=1e-8, fused=True)
    ]
    if hidden:
        made.append(Muon(groups(hidden, scales, options.weight_decay)))
    if sparse:
        by_scale = [{"params": [parameter], "scale": scales[name]} for name, parameter in sparse.items()]
        made.append(torch.optim.SparseAdam(by_scale, lr=1.0, betas=betas, eps=1e-8))
    return made


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
