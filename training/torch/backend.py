"""The loop's calls, answered by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.config import ModelConfig
from models.network import Weights
from models.question import Objective, Question
from models.torch.objectives import ObjectiveFunction, function_of, sum_by_row
from models.torch.torch_network import TorchNetwork
from training.backend import RowLosses, Update
from training.errors import TrainingError
from training.options import TrainingOptions
from training.torch.averaging import Averaging
from training.torch.low_rank import LowRank, without_trunk
from training.torch.muon import Muon
from training.torch.parameter_groups import groups, hidden_matrices, rate_scales, trainable


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
        if options.r_drop:
            _check_r_drop(objective, network.config)
        self._objective = function_of(self._with_options(objective)) if isinstance(objective, Objective) else objective
        named = dict(network.module.named_parameters())
        learning, scales, matrices = trainable(named, options), rate_scales(named, options), hidden_matrices(network)
        hidden = {name: parameter for name, parameter in learning.items() if name in matrices}
        self._low_rank: LowRank | None = None
        if options.lora_rank:
            self._low_rank = LowRank(hidden, options.lora_rank, options.lora_alpha, options.seed)
            factors = self._low_rank.factors
            learning = without_trunk(learning, hidden) | factors
            scales |= {name: scales[name.rpartition("/")[0]] for name in factors}
        self._names = {id(p): name for name, p in learning.items()}
        self._learning = list(learning.values())
        hidden = hidden if options.optimizer == "muon" else {}
        rest = {name: parameter for name, parameter in learning.items() if name not in hidden}
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups(rest, scales, options.weight_decay), lr=0.0, betas=betas, eps=1e-8, fused=True)
        ]
        if hidden:
            self._optimizers.append(Muon(groups(hidden, scales, options.weight_decay)))
        moving = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        self._averaging = Averaging(moving, options.ema) if options.ema else None

    def update(self, question: Question, number: int, learning_rate: float) -> Update:
        module = self.network.module.train()
        # Dropout draws from the global generator. A function of (seed, number), it needs no place in a checkpoint, and nothing
        # that runs between two updates (an evaluation, a resume) can shift it.
        torch.manual_seed(int(np.random.SeedSequence([self.options.seed, number]).generate_state(1, np.uint64)[0] >> 1))
        mean = self._objective(module, question).each.sum() / max(1, len(question.places))
        module.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]
        if self._low_rank:
            self._low_rank.take_gradients()
        norm = nn.utils.clip_grad_norm_(self._learning, self.options.clip)
        loss, gradient_norm = mean.item(), norm.item()
        if np.isfinite(loss) and np.isfinite(gradient_norm):
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * group["scale"]
                optimizer.step()
            if self._low_rank:
                self._low_rank.merge()
            if self._averaging:
                self._averaging.add(number)
        return Update(loss, len(question.places), gradient_norm)

    @torch.no_grad()
    def row_losses(self, question: Question) -> RowLosses:
        terms = self._objective(self.network.module.eval(), question)
        return RowLosses(sum_by_row(terms, question.batch_size).numpy(), question.targets)

    def average(self) -> AbstractContextManager[None]:
        return self._averaging.apply() if self._averaging else nullcontext()

    def weights(self) -> Weights:
        return self.network.weights()

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.network.load_weights(weights)

    def _with_options(self, objective: Objective) -> Objective:
        if objective.name != "choices":
            return objective
        mine = {"label_smoothing": self.options.label_smoothing, "r_drop": self.options.r_drop}
        return replace(objective, options={**objective.options, **mine})

    def optimizer(self) -> Weights:
        weights: Weights = self._averaging.state() if self._averaging else {}
        weights |= self._low_rank.state() if self._low_rank else {}
        for optimizer in self._optimizers:
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    weights[f"{self._names[id(parameter)]}/{key}"] = value.detach().numpy().copy()
        return weights

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        by_parameter: dict[str, dict[str, Tensor]] = {}
        for part in (self._averaging, self._low_rank):
            state = part.load(state) if part else state
        for name, value in state.items():
            parameter, _, key = name.rpartition("/")
            by_parameter.setdefault(parameter, {})[key] = torch.from_numpy(np.array(value))
        for optimizer in self._optimizers:
            optimizer.state.clear()  # before its first update it has none
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if (name := self._names[id(parameter)]) in by_parameter:
                        optimizer.state[parameter] = by_parameter[name]


def _check_r_drop(objective: Objective | ObjectiveFunction, config: ModelConfig) -> None:
    """TrainingError if there are no two answers to compare."""
    if not isinstance(objective, Objective) or objective.name != "choices":
        raise TrainingError("r_drop is for tasks that choose among labels, without a teacher: set r_drop=0")
    if not (config.dropout or config.dropout_of_attention or config.layer_dropout):
        raise TrainingError("r_drop compares two draws of dropout, and there is none: set dropout, or r_drop=0")


def prepare(threads: int) -> None:
    """Make PyTorch repeatable, and quick on CPUs: the thread count, and no denormal numbers."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
