"""The loop's calls, answered by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network import Weights
from models.question import Objective, Question
from models.torch.objectives import ObjectiveFunction, function_of, sum_by_row
from models.torch.task_network import TRUNK
from models.torch.torch_network import TorchNetwork
from training.backend import RowLosses, Update
from training.options import TrainingOptions
from training.torch.muon import Muon


class TorchBackend:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2) on a network in float32; with `optimizer=muon` for
    embeddings, heads and vectors, and Muon for the matrices between them."""

    def __init__(
        self,
        network: TorchNetwork,
        objective: Objective | ObjectiveFunction,
        options: TrainingOptions,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        self.network, self.options = network, options
        self._objective = (
            function_of(self._with_smoothing(objective)) if isinstance(objective, Objective) else objective
        )
        named = dict(network.module.named_parameters())
        self._names = {id(p): name for name, p in named.items()}
        hidden = _hidden_matrices(network) if options.optimizer == "muon" else []
        taken = {id(p) for p in hidden}
        rest = [p for p in named.values() if id(p) not in taken]
        # Decay pulls matrices to zero; for biases and norms that would be a loss without a gain.
        matrices, vectors = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=1e-8, fused=True)
        ]
        if hidden:
            self._optimizers.append(Muon(hidden, weight_decay=options.weight_decay))

    def update(self, question: Question, number: int, learning_rate: float) -> Update:
        module = self.network.module.train()
        # Dropout draws from the global generator. A function of (seed, number), it needs no place in a checkpoint, and nothing
        # that runs between two updates (an evaluation, a resume) can shift it.
        torch.manual_seed(int(np.random.SeedSequence([self.options.seed, number]).generate_state(1, np.uint64)[0] >> 1))
        mean = self._objective(module, question).each.sum() / max(1, len(question.places))
        module.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.options.clip)
        loss, gradient_norm = mean.item(), norm.item()
        if np.isfinite(loss) and np.isfinite(gradient_norm):
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate
                optimizer.step()
        return Update(loss, len(question.places), gradient_norm)

    @torch.no_grad()
    def row_losses(self, question: Question) -> RowLosses:
        terms = self._objective(self.network.module.eval(), question)
        return RowLosses(sum_by_row(terms, question.batch_size).numpy(), question.targets)

    def weights(self) -> Weights:
        return self.network.weights()

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.network.load_weights(weights)

    def _with_smoothing(self, objective: Objective) -> Objective:
        if objective.name != "choices":
            return objective
        return replace(objective, options={**objective.options, "label_smoothing": self.options.label_smoothing})

    def optimizer(self) -> Weights:
        weights: Weights = {}
        for optimizer in self._optimizers:
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    weights[f"{self._names[id(parameter)]}/{key}"] = value.detach().numpy().copy()
        return weights

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        by_parameter: dict[str, dict[str, Tensor]] = {}
        for name, value in state.items():
            parameter, _, key = name.rpartition("/")
            by_parameter.setdefault(parameter, {})[key] = torch.from_numpy(np.array(value))
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if (name := self._names[id(parameter)]) in by_parameter:
                        optimizer.state[parameter] = by_parameter[name]


def _hidden_matrices(network: TorchNetwork) -> list[nn.Parameter]:
    """The weights of the trunk's linear layers: no embeddings, and nothing of the heads."""
    trunks = [network.module.get_submodule(name) for name in TRUNK if name in network.parts]
    linear = [layer for trunk in trunks for layer in trunk.modules() if isinstance(layer, nn.Linear)]
    return [cast(nn.Parameter, layer.weight) for layer in linear]


def prepare(threads: int) -> None:
    """Make PyTorch repeatable, and quick on CPUs: the thread count, and no denormal numbers."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
