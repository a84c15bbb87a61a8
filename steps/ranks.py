"""Further processes of a training on this machine, each a rank that runs the same step with the same config.

    python -m steps.ranks        such a process: its step, config and place come through the environment

Only the first rank, the step itself, keeps anything: the others work in a folder that goes with them. They are silent, and end when
the step does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artifacts import Output, open_artifact
from artifacts.errors import UserError
from steps import process
from steps.contract import StepConfig
from steps.step import Step, load_step
from training import ranks
from training.ranks import Alone, RankLostError

_JOB = "GLASSFORMER_RANK"  # of a further process: its step, config, rank and the port of the first one


@contextmanager
def share(step: Step, config: StepConfig) -> Iterator[None]:
    """Within, the trainings of this process are shared with as many others as the config asks for. Processes that torchrun started are
    ranks already."""
    count = int(getattr(config, "ranks", 1))
    if _by_torchrun():
        with _join_torchrun(config):
            yield
        return
    if count == 1:
        yield
        return
    from training.torch.ranks import new_store

    store = new_store()
    job = {"step": step.name, "config": config.model_dump(mode="json"), "count": count, "port": store.port}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOCAL_WORLD_SIZE"] = str(count)
        others = [_start(job | {"rank": rank}, Path(folder) / f"{rank}.txt") for rank in range(1, count)]
        try:
            with _join(0, count, store, config):
                yield
        except RankLostError as error:
            raise RankLostError(_explain(error, others, Path(folder))) from error
        finally:
            del os.environ["LOCAL_WORLD_SIZE"]
            for other in others:
                other.kill()
                other.wait()


@contextmanager
def _join(rank: int, count: int, store: Any, config: StepConfig) -> Iterator[None]:
    from training.torch.ranks import TorchRanks

    joined = TorchRanks(rank, count, store, str(getattr(config, "device", "cpu")))
    ranks.join(joined)
    try:
        yield
    finally:
        ranks.join(Alone())
        joined.close()


def is_follower() -> bool:
    """Whether torchrun started this process as another rank than the first."""
    return _by_torchrun() and os.environ["RANK"] != "0"


def follow(step: Step, config: StepConfig) -> None:
    """Run a step as one of torchrun's further ranks."""
    with _join_torchrun(config):
        _run_silently(step, config)


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def _join_torchrun(config: StepConfig) -> Iterator[None]:
    count, shards = int(os.environ["WORLD_SIZE"]), int(getattr(config, "shards", 0))
    if not shards or shards % count:
        what = (
            f"do not divide shards={shards}: set shards, or start 1, 2, 4 ... processes"
            if shards
            else "are for pretrain and finetune"
        )
        raise UserError(f"torchrun: {count} processes {what}", 2)
    with _join(int(os.environ["RANK"]), count, None, config):
        yield


def _run_silently(step: Step, config: StepConfig) -> None:
    """Run a step of which another process keeps the results."""
    from telemetry import Observe

    assert step.output is not None
    inputs = {name: open_artifact(path, kind) for name, (path, kind) in config.given_inputs().items()}
    with tempfile.TemporaryDirectory(prefix="glassformer-rank-") as folder:
        output = Output(step.output, Path(folder), step=step.name, parents=inputs, root=Path(folder))
        step.run(config, inputs, output, Observe.silent())


def _start(job: Mapping[str, Any], errors: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {_JOB: json.dumps(job), "LOCAL_RANK": str(job["rank"])}
    with errors.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "steps.ranks"], env=environment, stdin=subprocess.PIPE, stderr=file
        )


def _explain(error: RankLostError, others: list[subprocess.Popen[bytes]], folder: Path) -> str:
    """The loss of a rank in one line: which one, and how it ended."""
    for rank, other in enumerate(others, 1):
        try:
            code = other.wait(5)
        except subprocess.TimeoutExpired:
            continue
        lines = (folder / f"{rank}.txt").read_text(errors="replace").strip().splitlines()
        ended = f"by signal {-code}" if code < 0 else f"with exit code {code} ({(lines or ['no message'])[-1][:300]})"
        return f"rank {rank} of {len(others) + 1} ended {ended}; run again, with any number of ranks, to go on"
    return str(error)


def main() -> None:
    """One further rank."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: rank 0 saves first, and its end is ours
    process.end_with_parent()
    job = json.loads(os.environ.pop(_JOB))
    step = load_step(job["step"])
    from training.torch.ranks import store_at

    config = step.Config(**job["config"])
    with _join(job["rank"], job["count"], store_at(job["port"]), config):
        try:
            _run_silently(step, config)
        except RankLostError:
            sys.exit(1)  # rank 0 tells it


if __name__ == "__main__":
    main()
