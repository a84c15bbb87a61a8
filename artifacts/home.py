"""Paths of our code and of our own state: artifacts, work in progress, runs, the outbox."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# The folder of MLproject and of our packages: a checkout, or the copy of one that the installed package `glassformer` holds.
CHECKOUT = Path(__file__).resolve().parent.parent
INSTALLED = CHECKOUT.with_name("__init__.py").is_file()
CALLED_IN = "GLASSFORMER_CALLED_IN"  # the folder of the command that started this process


def base() -> Path:
    """The folder for everything that runs leave behind: the checkout; for an installed package the current folder."""
    return Path.cwd() if INSTALLED else CHECKOUT


def home() -> Path:
    """The folder of our state: `GLASSFORMER_HOME`, else `var/` in `base()`.

    `mlflow run <git address>` runs us from a temporary clone that is lost afterwards; the user's data folder is used
    there, so that artifacts and resume work from one such run to the next.
    """
    chosen = os.environ.get("GLASSFORMER_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    if _is_temporary_clone():
        return _user_data_folder() / "glassformer"
    return base() / "var"


def use_default_store() -> None:
    """Keep MLflow's default store in `base()`, also where the command is called in another folder."""
    if "MLFLOW_TRACKING_URI" not in os.environ and Path.cwd() != base():
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{base() / 'mlflow.db'}"
        os.environ.setdefault("_MLFLOW_SERVER_ARTIFACT_ROOT", str(base() / "mlruns"))


def enter_calling_folder() -> None:
    """Go where the command was called. MLflow starts steps in the project's folder; paths are relative to the user's."""
    if folder := os.environ.pop(CALLED_IN, ""):
        os.chdir(folder)


def _is_temporary_clone() -> bool:
    """MLflow clones a git address straight into `tempfile.mkdtemp()`, and says so with a run id."""
    made_by_mkdtemp = CHECKOUT.parent == Path(tempfile.gettempdir()).resolve() and CHECKOUT.name.startswith("tmp")
    return "MLFLOW_RUN_ID" in os.environ and made_by_mkdtemp


def _user_data_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
