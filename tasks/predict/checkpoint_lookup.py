"""The checkpoint that the command line names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from artifacts import ArtifactError, open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.home import CHECKOUT
from artifacts.store import Store
from tasks.predict import PredictError

_DIGEST = re.compile(r"[0-9a-f]{4,64}")
_ASK = "give the folder of a checkpoint, or how its digest begins, or models:/NAME@ALIAS; `python -m artifacts list` shows both"


def checkpoint_of(word: str, store: Store) -> Checkpoint:
    """The checkpoint in a folder (an artifact, a plain copy, a downloaded model), or in the store under a digest."""
    if word.startswith("models:/"):
        return _in_folder(_fetch(word))
    if re.match(r"(runs|mlflow-artifacts):/", word):
        raise PredictError(
            f"{word}: in MLflow's hands; get its files with `mlflow artifacts download --artifact-uri {word} -d FOLDER`, "
            "and give FOLDER"
        )
    folder = Path(word).expanduser()
    if folder.is_dir():
        return _in_folder(folder)
    if _DIGEST.fullmatch(word):
        return _in_store(word, store)
    raise PredictError(f"{word}: no such folder; {_ASK}")


def _fetch(uri: str) -> Path:
    """The folder of a registered version, fetched by another process, so that nothing here imports MLflow."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "deploy.fetch", uri],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = (done.stderr.strip().splitlines() or [f"{uri}: cannot be fetched"])[-1]
        raise PredictError(message.removeprefix("deploy.fetch: "), done.returncode)
    return Path(done.stdout.strip().splitlines()[-1])


def _in_folder(folder: Path) -> Checkpoint:
    if (folder / "manifest.json").is_file():
        return Checkpoint(open_artifact(folder, "checkpoint"))
    downloaded = folder / "artifacts" / "checkpoint"  # as MLflow lays out a model
    if (downloaded / "model.json").is_file():
        return Checkpoint(downloaded)
    if not (folder / "model.json").is_file():
        raise PredictError(f"{folder}: no checkpoint (it has no manifest.json and no model.json); {_ASK}")
    return Checkpoint(folder)


def _in_store(word: str, store: Store) -> Checkpoint:
    folders = sorted((store.root / "artifacts" / "checkpoint").glob(f"{word[:16]}*"))
    checkpoints = {}
    for path in folders:
        try:
            artifact = open_artifact(path, "checkpoint", check=False)
        except ArtifactError:
            continue  # half removed by gc
        if artifact.digest.startswith(word):
            checkpoints[artifact.digest] = path
    if not checkpoints:
        raise PredictError(f"{word}: no such folder, and no checkpoint in {store.root} has such a digest; {_ASK}")
    if len(checkpoints) > 1:
        raise PredictError(f"{word}: the digests of {len(checkpoints)} checkpoints begin so; give more of it")
    return Checkpoint(open_artifact(next(iter(checkpoints.values())), "checkpoint"))
