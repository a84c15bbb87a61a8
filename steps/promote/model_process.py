"""A model version as seen by the gate: its tags, its files, and a process in which its own code answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import model_files
from artifacts.errors import UserError
from artifacts.model_files import Registered
from models.devices import Compute

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

_LAST_WORDS = 2000  # characters of what a child wrote before it ended


class CannotAnswerError(UserError):
    """A version that cannot be read, loaded or asked; `number` says which."""

    def __init__(self, name: str, number: str, why: str) -> None:
        super().__init__(f"{name} version {number} {why}")
        self.number = number


@dataclass(frozen=True)
class Contender(Registered):
    """A version that Glassformer registered, as the gate compares it."""

    @property
    def checkpoint(self) -> Path:
        """Its checkpoint's files."""
        return self.folder / model_files.CHECKPOINT

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return model_files.bytes_of(self.folder)


def contender(client: MlflowClient, name: str, number: str, into: Path) -> Contender:
    """A version, its files copied into a folder. UserError if it is not there."""
    from mlflow import artifacts
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"{name} version {number} is not in the registry any more; run the pipeline, which registers again"
        ) from None
    if "glassformer.checkpoint" not in version.tags:
        raise CannotAnswerError(name, number, "was not registered by Glassformer: its lineage is unknown")
    place = into / number
    place.mkdir(parents=True, exist_ok=True)
    try:
        folder = Path(artifacts.download_artifacts(f"models:/{name}/{number}", dst_path=str(place)))
    except (MlflowException, OSError) as error:
        line = " ".join(str(error).split())[:200]
        raise CannotAnswerError(
            name, number, f"has files that cannot be read: {line}; run the pipeline again"
        ) from None
    if lacks := model_files.missing(folder):
        raise CannotAnswerError(name, number, f"lacks {lacks[0]} among its files; run the pipeline again")
    return Contender(name, str(number), version.run_id or "", dict(version.tags), folder)


class Answering:
    """A process in which a version's own code answers."""

    def __init__(self, who: Contender, work: Path, compute: Compute) -> None:
        self.who, self._work, self._count = who, work, 0
        self._errors = (work / f"{who.number}.log").open("w+", encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | compute.environment()
        # -P: the folder of the script, which is ours, is not on its path.
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", str(Path(__file__).with_name("model_worker.py")), str(who.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=work,
            env=environment,
        )

    def answer(self, questions: pd.DataFrame, column: str, options: Mapping[str, Any]) -> pd.DataFrame:
        """Its answers to these questions, row by row."""
        import pandas as pd

        self._count += 1
        given, into = (self._work / f"{self.who.number}-{self._count}-{what}.parquet" for what in ("asked", "told"))
        questions[[column]].to_parquet(given)
        self._ask(
            {"do": "answer", "questions": str(given), "column": column, "options": dict(options), "into": str(into)}
        )
        return pd.read_parquet(into)

    def seconds(self, rows: Sequence[int]) -> list[float]:
        """Seconds to answer each of these rows of the last questions alone."""
        return [float(one) for one in self._ask({"do": "time", "rows": list(rows)})["seconds"]]

    def ready(self) -> None:
        """Wait until it has loaded."""
        self._read()

    def close(self) -> None:
        """End the process."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._errors):
            if stream:
                stream.close()

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(order) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._exit_error() from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise self._exit_error()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise CannotAnswerError(self.who.name, self.who.number, f"cannot answer: {answer['error']}")
        return answer

    def _exit_error(self) -> CannotAnswerError:
        self._errors.flush()
        self._errors.seek(0)
        lines = self._errors.read()[-_LAST_WORDS:].strip().splitlines()
        reason = lines[-1] if lines else f"it ended with {self._child.wait()}"
        return CannotAnswerError(self.who.name, self.who.number, f"cannot be loaded: {reason}")


@contextmanager
def answering(contenders: Sequence[Contender], compute: Compute) -> Iterator[list[Answering]]:
    """A process for each of these, loaded. Versions registered before there was a choice answer on the CPU."""
    with tempfile.TemporaryDirectory(prefix="glassformer-gate-") as work:
        started: list[Answering] = []
        try:
            started.extend(Answering(who, Path(work), compute) for who in contenders)
            for one in started:
                one.ready()
            yield started
        finally:
            for one in started:
                one.close()
