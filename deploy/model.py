"""The registered model's code: text in, prediction out. MLflow loads it from source, with nothing pickled.

MLflow puts the packages that were logged with the model first on the path and runs this file; `set_model` hands it over.
"""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext


class TextModel(PythonModel):  # type: ignore[misc]
    """Answers through the checkpoint's task, as evaluation does."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint that was logged with the model."""
        from artifacts.checkpoint import Checkpoint
        from tasks.model import load_model

        self._model = load_model(Checkpoint(Path(context.artifacts["checkpoint"])))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # MLflow would make a schema of hints
        """A frame with a column `text` -> a frame with `prediction` and `probability`, row by row."""
        from tasks import load

        texts = ["" if text is None else str(text) for text in model_input["text"]]
        return load(self._model.task).predict(self._model, texts)


mlflow.models.set_model(TextModel())
