"""A tracking store of its own for tests that call MLflow in this very process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from steps import tracking


def own_store(folder: Path, monkeypatch: Any) -> Any:
    """A fresh database and artifact folder under `folder`, and a client of it. Takes seconds: once a file."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    for name, value in tracking.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.chdir(folder)  # MLflow's artifacts go below the working folder
    return tracking.connect()
