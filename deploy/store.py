"""The tracking store for programs that outlive steps: never created by them, and given up on within seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.home import use_default_store
from telemetry.endpoints import environment_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's own defaults wait for four minutes on a server that is away.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_OTLP_EXPORTER": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


class NoStoreError(Exception):
    """There is no store yet; the message names its location."""


def use_told_store(outbox: Path) -> None:
    """Read runs from the store that the stack names, as steps record them there."""
    if store := environment_of(outbox).get("MLFLOW_TRACKING_URI"):
        os.environ.setdefault("MLFLOW_TRACKING_URI", store)


def connect() -> MlflowClient:
    """A client of MLFLOW_TRACKING_URI. NoStoreError while its sqlite file is not there: asking would create it."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    use_default_store()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    if uri.startswith("sqlite:///"):
        file = Path(uri.removeprefix("sqlite:///").partition("?")[0])
        if not file.exists():
            raise NoStoreError(f"{file} is not there yet; the first run makes it")
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)
