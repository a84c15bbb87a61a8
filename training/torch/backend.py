"""The loop's calls, answered by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.backend import Tensors, Update
from training.batches import Batch

_EVALUATION = 1 << 40  # update numbers that no training reaches, for the masks of evaluation


class Loss(NamedTuple):
    """The loss of a batch: its sum over the targets, and how many these are."""

    total: Tensor
    targets: int


class RowLosses(NamedTuple):
    """The same, of each row of the batch."""

    total: Tensor  # [B]
    targets: Tensor  # [B]


class Choices(NamedTuple):
    """A network's choices at each target of a batch: M targets, C choices."""

    logits: Tensor  # [M, C]
    labels: Tensor  # [M], the right ones
    rows: Tensor  # [M], the row of the batch that each is in


LossFunction = Callable[[nn.Module, Batch, torch.Generator], Loss]


class TorchBackend:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2) on a network in float32."""

    def __init__(
        self, network: nn.Module, loss: LossFunction, *, seed: int, weight_decay: float, clip: float,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:  # fmt: skip
        self.network, self._loss, self._seed, self._clip = network, loss, seed, clip
        named = dict(network.named_parameters())
        # Decay pulls matrices to zero; for biases and norms that would be a loss without a gain.
        matrices = [p for p in named.values() if p.ndim > 1]
        vectors = [p for p in named.values() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=1e-8, fused=True)
        self._names = {id(p): name for name, p in named.items()}

    def update(self, batch: Batch, number: int, learning_rate: float) -> Update:
        self.network.train()
        generator = self._seed_generators(number)
        total, targets = self._loss(self.network, batch, generator)
        mean = total / max(1, targets)
        self._optimizer.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        loss, gradient_norm = mean.item(), norm.item()
        if np.isfinite(loss) and np.isfinite(gradient_norm):
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate
            self._optimizer.step()
        return Update(loss, targets, gradient_norm)

    @torch.no_grad()
    def loss(self, batch: Batch, number: int) -> tuple[float, int]:
        self.network.eval()
        total, targets = self._loss(self.network, batch, self._seed_generators(_EVALUATION + number))
        return total.item(), targets

    def weights(self) -> Tensors:
        return {name: p.detach().numpy().copy() for name, p in self.network.named_parameters()}

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))

    def optimizer(self) -> Tensors:
        found: Tensors = {}
        for parameter, state in self._optimizer.state.items():
            for key, value in state.items():
                found[f"{self._names[id(parameter)]}/{key}"] = value.detach().numpy().copy()
        return found

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        by_parameter: dict[str, dict[str, Tensor]] = {}
        for name, value in state.items():
            parameter, _, key = name.rpartition("/")
            by_parameter.setdefault(parameter, {})[key] = torch.from_numpy(np.array(value))
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                if (name := self._names[id(parameter)]) in by_parameter:
                    self._optimizer.state[parameter] = by_parameter[name]

    def _seed_generators(self, number: int) -> torch.Generator:
        """A generator for one update's masks; the global one, which dropout draws from, is seeded alike.

        Being functions of (seed, number), they need no place in a checkpoint, and nothing that runs between two
        updates (an evaluation, a resume) can shift them.
        """
        torch.manual_seed(_mix(self._seed, number))
        return generator_of(self._seed, number)


def generator_of(seed: int, number: int) -> torch.Generator:
    """The generator that draws the masks of an update; updates count from 0 here."""
    return torch.Generator().manual_seed(_mix(seed, number))


def _mix(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)


def prepare(threads: int) -> None:
    """Set what makes PyTorch repeat itself, and quick on CPUs: the thread count, and no denormal numbers."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
