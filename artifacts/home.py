"""Where our own state lives: artifacts, work in progress, runs, the outbox."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The folder of our state: `GLASSFORMER_HOME`, else `var/` in the checkout.

    `mlflow run <git address>` runs us from a temporary clone that is lost afterwards; the user's data folder is used
    there, so that artifacts and resume work from one such run to the next.
    """
    chosen = os.environ.get("GLASSFORMER_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    if _is_temporary_clone():
        return _user_data_folder() / "glassformer"
    return CHECKOUT / "var"


def _is_temporary_clone() -> bool:
    """MLflow clones a git address straight into `tempfile.mkdtemp()`, and says so with a run id."""
    made_by_mkdtemp = CHECKOUT.parent == Path(tempfile.gettempdir()).resolve() and CHECKOUT.name.startswith("tmp")
    return "MLFLOW_RUN_ID" in os.environ and made_by_mkdtemp


def _user_data_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
