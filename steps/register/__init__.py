"""Register a checkpoint with its report as a model version in MLflow: checkpoint, report -> model version."""
