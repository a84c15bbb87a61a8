"""A small training shared by processes, some of which are killed on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS = 120
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.small_training", "training.torch.ranks"])  # torch is loaded once


@dataclass(frozen=True)
class Kill:
    """A rank that is killed before an update (counted from 0), by a signal."""

    rank: int
    update: int
    signal: int = signal.SIGKILL


def train(work: Path, count: int, kill: Kill | None = None, **options: Any) -> str:
    """Train with so many ranks, going on from what `work` holds. The digest of the result, or the error of the first rank; empty if that
    one was killed."""
    from training.torch.ranks import new_store

    store, answers = new_store(), _context.SimpleQueue()
    arguments = (count, store.port, work, kill, options, answers)
    processes = [_context.Process(target=_run, args=(rank, *arguments), daemon=True) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(_SECONDS)
        assert process.exitcode is not None, "a rank does not end"
    return "" if answers.empty() else answers.get()


def _run(
    rank: int, count: int, port: int, work: Path, kill: Kill | None, options: dict[str, Any], answers: Any
) -> None:
    from tests.small_training import Hooked, backend, digest, train
    from training import ranks, shards
    from training.ranks import RankLostError
    from training.torch.backend import prepare
    from training.torch.ranks import TorchRanks, store_at

    def die(update: int, _: object) -> None:
        if kill is not None and (rank, update) == (kill.rank, kill.update):
            os.kill(os.getpid(), kill.signal)

    prepare()
    shards.cores = lambda: 1  # a forked process cannot start threads that use PyTorch
    ranks.join(TorchRanks(rank, count, store_at(port)))
    folder = work if rank == 0 else work.with_name(f"{work.name}-{rank}")
    try:
        answer = digest(train(folder, chosen=Hooked(backend(**options), die), **options))
    except RankLostError as error:
        answer = f"lost: {error}"
    if rank == 0:
        answers.put(answer)
    os._exit(0)  # without leaving the group, as others may have gone
