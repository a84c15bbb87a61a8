"""Glassformer from Python (docs/python.md), and the command `glassformer`. Importing it loads nothing heavy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from artifacts import Artifact
    from glassformer.watching import Watched
    from pipelines.graph import Pipeline
    from tasks.model import Model
    from tasks.task import Task

__all__ = ["Predictor", "RunError", "load_model", "open_artifact", "plan", "results", "run", "watch"]
_HERE = Path(__file__).resolve().parent
# All other packages and the files they need: a checkout, or the copy of one that an installed package holds.
PROJECT = _HERE / "project" if (_HERE / "project").is_dir() else _HERE.parent


class RunError(Exception):
    """A run that failed. The message is its last line, `exit_code` the one of the command line."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Predictor(NamedTuple):
    """A trained model and its task, ready to answer."""

    task: Task
    model: Model

    def predict(self, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """A row for each input: texts, or the bytes of image files. ValueError for an option that the task has not."""
        from tasks import lengths

        return lengths.answer_as_frame(self.task, self.model, inputs, options)

    def stream(self, text: str, **options: Any) -> Iterator[str]:
        """The answer in pieces, while it is written; in one piece where the task does not write one."""
        pieces = self.task.stream(self.model, text, **options)
        return iter([str(self.predict([text], **options).iloc[0, 0])]) if pieces is None else iter(pieces)


def load_model(model: str | Path | Artifact) -> Predictor:
    """A checkpoint (artifact, folder, start of its digest) or a registered version (`models:/NAME@ALIAS`)."""
    from artifacts.store import Store
    from tasks import load
    from tasks.model import load_model as load_checkpoint
    from tasks.predict.checkpoint_lookup import checkpoint_of

    checkpoint = checkpoint_of(str(getattr(model, "path", model)), Store.default())
    return Predictor(load(checkpoint.task), load_checkpoint(checkpoint))


def open_artifact(folder: str | Path) -> Artifact:
    """The artifact in a folder, each byte compared with its manifest. ArtifactError names what differs."""
    from artifacts import open_artifact as open_checked

    return open_checked(Path(folder))


def run(
    pipeline: str, settings: Mapping[str, Any] | None = None, *, to: str = "", promote: bool = False, jobs: int = 0
) -> dict[str, Artifact]:
    """Run a pipeline as `glassformer run` does, printing its log, and return each node's artifact.

    In a process of its own, which takes signals and standard input. Up to `jobs` nodes run side by side; 0 chooses by cores and
    memory. RunError if it fails.
    """
    import subprocess

    command = [sys.executable, "-m", "glassformer", "run", pipeline, *(["--to", to] if to else [])]
    command += ["--promote"] if promote else []
    command += ["--jobs", str(jobs)] if jobs else []
    command += [part for setting in _settings(settings) for part in ("--set", setting)]
    path = os.pathsep.join(filter(None, [str(_HERE.parent), os.environ.get("PYTHONPATH")]))
    environment, last = os.environ | {"PYTHONPATH": path}, ""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                last = line.strip() or last
        except BaseException:
            process.terminate()  # it saves what it can
            raise
    if code := process.returncode:
        raise RunError(last, code)
    return results(pipeline, settings)


def plan(pipeline: str, settings: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Plan of a run: for each node `state` (HIT or MISS) and `reasons`. UserError names the fault."""
    from pipelines.printing import plan_as_json

    return plan_as_json(_pipeline(pipeline, settings), ())


def results(pipeline: str, settings: Mapping[str, Any] | None = None) -> dict[str, Artifact]:
    """The artifact of each node that has one by now: what a run would take from the cache."""
    from artifacts.store import Store
    from pipelines.plan import plan as plan_of

    store = Store.default()
    entries = plan_of(_pipeline(pipeline, settings), store, ())
    return {entry.node.id: store.artifact(entry.record, check=False) for entry in entries if entry.record}


def watch(
    name: str, parameters: Mapping[str, Any] | None = None, *, every: int = 50
) -> AbstractContextManager[Watched]:
    """Put a training loop of your own on the dashboards: `with watch("nanogpt") as training: … training.update(loss)`.

    `parameters` are shown beside its curves; losses are read every so many updates, and each is on record.
    """
    from glassformer.watching import watch as begin

    return begin(name, parameters, every=every)


def _pipeline(name: str, settings: Mapping[str, Any] | None) -> Pipeline:
    from pipelines.graph import load

    variants = load(name, _settings(settings))
    if len(variants) > 1:
        raise ValueError(f"{name}: {len(variants)} variants (`each`); give one value for each of its keys in settings")
    return variants[0]


def _settings(settings: Mapping[str, Any] | None) -> list[str]:
    from pipelines.launch import as_text

    return [f"{key}={as_text(value)}" for key, value in (settings or {}).items()]
