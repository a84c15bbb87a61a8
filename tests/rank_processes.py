"""A small training shared by processes, to some of which something happens on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

_SECONDS = 120
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.trained_before"])


@dataclass(frozen=True)
class Fault:
    """Something that happens to a rank before an update (counted from 0): a signal; "slow", it waits; "nan", its weights are spoilt."""

    rank: int
    update: int
    kind: str = "SIGKILL"


def train(work: Path, count: int, fault: Fault | None = None, **options: Any) -> str:
    """Train with so many ranks, going on from what `work` holds. The digest of the result, or the error of the first rank; empty if that
    one was killed."""
    return train_all(work, count, fault, **options)[0]


def train_all(
    work: Path, count: int, fault: Fault | None = None, *, backend: Callable[..., Any] | None = None, **options: Any
) -> list[str]:
    """The same of each rank. `backend` makes it, of the options, in place of that of tests/small_training.py."""
    from training.torch.ranks import new_store

    store = new_store()
    queues = [_context.SimpleQueue() for _ in range(count)]
    arguments = (count, store.port, work, fault, backend, options)
    processes = [
        _context.Process(target=_run, args=(rank, *arguments, queues[rank]), daemon=True) for rank in range(count)
    ]
    for process in processes:
        process.start()
    stopped = fault.rank if fault and fault.kind == "SIGSTOP" else None
    for rank, process in enumerate(processes):
        if rank != stopped:
            process.join(_SECONDS)
            assert process.exitcode is not None, "a rank does not end"
    if stopped is not None:
        processes[stopped].kill()
        processes[stopped].join()
    return ["" if answers.empty() else answers.get() for answers in queues]


def _run(
    rank: int, count: int, port: int, work: Path, fault: Fault | None, make: Callable[..., Any] | None,
    options: dict[str, Any], answers: Any,
) -> None:  # fmt: skip
    from telemetry import Interrupted
    from tests.small_training import Hooked, Recording, backend, digest, spoil, train
    from training import ranks
    from training.errors import TrainingError
    from training.ranks import RankLostError
    from training.torch import ranks as torch_ranks

    if fault and fault.kind == "SIGSTOP":
        torch_ranks._PATIENCE = timedelta(seconds=3)

    def before(update: int, _: object) -> None:
        if fault is None or (rank, update) != (fault.rank, fault.update):
            return
        if fault.kind == "slow":
            time.sleep(1)
        elif fault.kind == "nan":
            spoil(chosen)
        else:
            os.kill(os.getpid(), getattr(signal, fault.kind))

    ranks.join(torch_ranks.TorchRanks(rank, count, torch_ranks.store_at(port)))
    folder = work if rank == 0 else work.with_name(f"{work.name}-{rank}")
    chosen, observe = (make or backend)(**options), Recording()
    if rank == 0:
        observe.install_signal_handlers()
    try:
        answer = digest(train(folder, observe, chosen if make else Hooked(chosen, before), **options))
    except RankLostError as error:
        answer = f"lost: {error}"
    except TrainingError as error:
        answer = f"error: {error}"
    except Interrupted:
        answer = "interrupted"
    answers.put(answer)
    os._exit(0)  # without leaving the group, as others may have gone
