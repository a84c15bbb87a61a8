"""The registered model's code: text or images in, predictions out. MLflow loads it from source, with nothing pickled.

MLflow puts the packages that were logged with the model first on the path and runs this file; `set_model` hands it over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext


class TaskModel(PythonModel):  # type: ignore[misc]  # mypy does not follow mlflow, so this is Any
    """Answers through the checkpoint's task, as evaluation does."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint that was logged with the model."""
        from artifacts.checkpoint import Checkpoint
        from tasks.model import load_model

        self._model = load_model(Checkpoint(Path(context.artifacts["checkpoint"])))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # MLflow would make a schema of hints
        """A frame with the task's input as a column -> a frame of its answers, row by row. `params`: the task's options."""
        from tasks import load

        task = load(self._model.task)
        return task.predict(self._model, [_given(value) for value in model_input[task.input]], **(params or {}))


def _given(value: Any) -> Any:
    """A text or an image's bytes; a missing value is an empty text, a number the text that it is written as."""
    import pandas as pd

    if isinstance(value, str | bytes | bytearray | memoryview):
        return value
    return "" if pd.isna(value) else str(value)


mlflow.models.set_model(TaskModel())
