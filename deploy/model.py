"""The registered model's code: text or images in, predictions out. MLflow loads it from source, with nothing pickled.

MLflow puts the packages that were logged with the model first on the path and runs this file; `set_model` hands it over.
"""

from __future__ import annotations

from pathlib import Path

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
        """A frame with the task's input as a column -> a frame of its answers with the same index, row by row. `params`: the
        task's options."""
        from tasks import load
        from tasks.cells import content_of
        from tasks.lengths import answer_as_frame

        task = load(self._model.task)
        cells = zip(model_input.index, model_input[task.input], strict=True)
        inputs = [content_of(value, task.input, number, label) for number, (label, value) in enumerate(cells, 1)]
        answers = answer_as_frame(task, self._model, inputs, params or {})
        answers.index = model_input.index
        return answers


mlflow.models.set_model(TaskModel())
