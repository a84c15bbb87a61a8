"""Pipelines that ran to their end, once for all tests and workers: each test takes a copy of the home."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.pipeline_home import Home
from tests.shared import lock, rename_folder, shared_folder

_PROMOTED = ("tiny", "tiny_gpt")
_BASES = {"tiny_gpt": "tiny"}  # the same corpus and tokenizer


@dataclass(frozen=True)
class FinishedRun:
    """A home in which a pipeline ran, which no test changes."""

    home: Home
    output: str  # of the command
    seconds: float  # that it took
    digests: dict[str, str]  # node -> digest of its artifact

    def copy(self, folder: Path) -> Home:
        """A home of its own with all artifacts, records, logs and the tracking store."""
        shutil.copytree(self.home.folder, folder, dirs_exist_ok=True)
        rename_folder(folder / "mlflow.db", self.home.folder, folder)
        return Home(folder)

    def cache(self, folder: Path, only: Collection[str] | None = None) -> Home:
        """A home with its artifacts, or with those of some nodes `only`, and an empty tracking store."""
        home = Home(folder)
        for part in ("artifacts", "records"):
            shutil.copytree(self.home.state / part, home.state / part)
        for record in (home.state / "records").glob("*/*.json"):
            about = json.loads(record.read_text())
            if only is not None and about["node"] not in only:
                record.unlink()
                shutil.rmtree(home.state / about["artifact"]["path"])
        return home


def finished_run(pipeline: str = "tiny") -> FinishedRun:
    """The home in which a pipeline ran, by its name or its file's path; it runs when the first test wants it."""
    name = Path(pipeline).stem
    folder = shared_folder(name)
    with lock(folder):
        if not (folder / "finished.json").exists():
            _run(pipeline, folder)
    about = json.loads((folder / "finished.json").read_text())
    return FinishedRun(Home(folder / "home"), **about)


def _run(pipeline: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    name = Path(pipeline).stem
    folder.mkdir()
    if name in _BASES:
        home = finished_run(_BASES[name]).cache(folder / "home", ("prepare_data", "train_tokenizer"))
    else:
        home = Home(folder / "home", store=False)
        home.folder.mkdir()
    began = time.monotonic()
    output = home.run("run", pipeline, *(["--promote"] if name in _PROMOTED else []))
    about = {"output": output, "seconds": time.monotonic() - began, "digests": home.digests(pipeline)}
    (folder / "finished.json").write_text(json.dumps(about))
