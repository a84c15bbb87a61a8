"""A training of a second: a small masked-LM network on made-up tokens."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artifacts import atomic
from models.config import ModelConfig
from models.question import Question
from tasks.masked_lm.task import TASK
from tasks.model import build
from tasks.task import Task
from telemetry import Observe
from training.backend import Update
from training.batches import Batch, Examples
from training.loop import Result, Trainer
from training.options import TrainingOptions
from training.packing import Blocks
from training.torch.backend import TorchBackend
from training.update_log import Updates

CONFIG = ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=1, max_length=16, vocab_size=40, dropout=0.1)
OPTIONS: dict[str, Any] = {
    "max_updates": 24, "batch_tokens": 128, "learning_rate": 1e-2, "warmup": 0.1, "seed": 2, "log_every": 5,
    "evaluate_every": 8, "checkpoint_every": 4,
}  # fmt: skip


class Recording(Observe):
    """Keeps the log records and metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, str, str]] = []
        self.metrics: dict[str, list[tuple[int | None, float]]] = {}
        self.counts: dict[str, float] = {}

    def log(self, event: str, message: str, *, level: Any = "info", **fields: Any) -> None:
        self.records.append((event, level, message))

    def metric(self, name: str, value: float, *, update: int | None = None, **attributes: str) -> None:
        self.metrics.setdefault(name, []).append((update, value))

    def count(self, name: str, amount: float = 1, **attributes: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount

    def of(self, event: str) -> list[tuple[str, str]]:
        return [(level, message) for name, level, message in self.records if name == event]


class Hooked:
    """A backend that calls `before(number, ids of the rows)` ahead of each update and passes everything on."""

    def __init__(self, backend: TorchBackend, before: Any, task: Task = TASK) -> None:
        self._backend, self._before, self._task = backend, before, task
        self._shards: list[list[str]] = []

    def ask(self, batch: Batch, random: np.random.Generator, *, training: bool) -> Question:
        """The question of a shard of the next update."""
        self._shards.append(batch.ids)
        return self._task.ask(CONFIG, {}, batch, random, training=training)

    def update(self, shards: Sequence[Question], number: int, learning_rate: float) -> Update:
        asked = self._shards[-len(shards) :]  # those before are of an evaluation
        self._before(number, [row for rows in zip_longest(*asked) for row in rows if row])
        return self._backend.update(shards, number, learning_rate)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def made_up(rows: int, seed: int) -> Examples:
    """Rows in which each token is the one before plus one, so that there is something to learn."""
    random = np.random.default_rng(seed)
    starts, lengths = random.integers(5, 40, rows), random.integers(4, 13, rows)
    sequences = [[2, *(5 + (s - 5 + np.arange(n)) % 35).tolist(), 3] for s, n in zip(starts, lengths, strict=True)]
    return Examples.of(sequences, [f"row{i}" for i in range(rows)], 0)


def backend(seed: int = 3, config: ModelConfig = CONFIG, **options: Any) -> TorchBackend:
    """A fresh network with its optimizer."""
    network = build(TASK, config, {}, seed)
    return TorchBackend(network, TASK.objective({}), TrainingOptions(**{"seed": seed, "weight_decay": 0.01, **options}))


def trainer(
    work: Path, observe: Observe | None = None, chosen: Any = None, task: Task = TASK, **options: Any
) -> Trainer:
    """A training that goes on from what `work` holds."""
    given = TrainingOptions(**{**OPTIONS, **options})
    rows = made_up(60, 0)
    chosen = chosen or backend()
    ask = chosen.ask if isinstance(chosen, Hooked) else partial(task.ask, CONFIG, {})
    learnt = Blocks.pack(rows, 2 * CONFIG.max_length, given.seed) if given.packing else rows
    return Trainer(chosen, ask, learnt, made_up(20, 1), given, work, observe or Observe.silent())


def train(work: Path, observe: Observe | None = None, chosen: Any = None, **options: Any) -> Result:
    """Train to the end."""
    return trainer(work, observe, chosen, **options).run("training")


def recorded(work: Path) -> list[tuple[Any, ...]]:
    """What the record of a training holds that must be the same in every run of it."""
    updates = Updates.within(work)
    assert updates is not None
    return [(e.update, e.loss, e.gradient_norm, e.rows, e.parts) for e in updates.between(1, 1 << 30)]


def digest(result: Result) -> str:
    """Of weights and history, as they would be written."""
    total = hashlib.sha256(atomic.json_text(result.history).encode())
    for name in sorted(result.weights):
        total.update(result.weights[name].tobytes())
    return total.hexdigest()


def same(first: Result, second: Result) -> bool:
    """Whether two results are the same to the last bit."""
    return digest(first) == digest(second)


def kill_at(number: int, how: int = signal.SIGTERM) -> Any:
    """For Hooked: a signal before this update (counted from 0)."""

    def before(update: int, _: list[str]) -> None:
        if update == number:
            os.kill(os.getpid(), how)

    return before


def raising_at(number: int) -> Any:
    """For Hooked: an error before this update (counted from 0)."""

    def before(update: int, _: list[str]) -> None:
        if update == number:
            raise RuntimeError("power cut")

    return before


def poison(chosen: TorchBackend, number: int) -> tuple[Hooked, list[str]]:
    """At this update (counted from 0) a weight becomes NaN, as an overflow would make it. Returns its rows as well."""
    poisoned: list[str] = []

    def before(update: int, ids: list[str]) -> None:
        if update == number:
            spoil(chosen)
            poisoned.extend(ids)

    return Hooked(chosen, before), poisoned


def spoil(chosen: TorchBackend) -> None:
    """Set weights to NaN."""
    with torch.no_grad():
        chosen.network.module.token_vectors[:] = float("nan")
