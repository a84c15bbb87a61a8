"""Validation along a training: its loss, a metric of the task, and which weights are the best so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.chance import generator_of
from models.question import Question
from training.backend import Backend
from training.batches import Batch, Examples, in_order
from training.checkpoints import State
from training.ranks import current

_EVALUATION = 1 << 40  # update numbers that no training reaches, for the masks of evaluation


class Ask(Protocol):
    """A task's question of a batch."""

    def __call__(self, batch: Batch, random: np.random.Generator, *, training: bool) -> Question:
        """The question of a batch, its random choices drawn from `random`."""


@dataclass(frozen=True)
class Scorer:
    """A metric of the network as it is now, on the validation split, by which the best weights are chosen."""

    metric: str
    higher_is_better: bool
    measure: Callable[[], float]


def is_best(state: State, scorer: Scorer | None, loss: float, score: float | None) -> bool:
    """Whether this evaluation is the best so far; notes it if so."""
    lower = state.best_loss is None or loss < state.best_loss
    state.best_loss = loss if state.best_loss is None else min(loss, state.best_loss)
    if scorer is None or score is None:
        return lower
    if state.best_score is not None and state.best_score_loss is not None:
        ahead = (score - state.best_score) * (1 if scorer.higher_is_better else -1)
        if ahead < 0 or (ahead == 0 and loss >= state.best_score_loss):
            return False
    state.best_score, state.best_score_loss = score, loss
    return True


def evaluate(backend: Backend, ask: Ask, examples: Examples, batch_tokens: int, seed: int) -> float:
    """Mean loss over all targets, without dropout; the masks are the same each time."""

    def losses(numbered: tuple[int, NDArray[np.int64]]) -> tuple[float, int]:
        number, rows = numbered
        question = ask(examples.batch(rows), generator_of(seed, _EVALUATION + number), training=False)
        found = backend.row_losses(question)
        return float(found.total.sum(dtype=np.float64)), int(found.targets.sum())

    ranks = current()
    numbered = list(enumerate(in_order(examples, batch_tokens)))
    of_ranks = ranks.gather(backend.map(losses, numbered[ranks.rank :: ranks.count]))
    each = [of_ranks[number % ranks.count][number // ranks.count] for number, _ in numbered]
    return sum(total for total, _ in each) / max(1, sum(targets for _, targets in each))
