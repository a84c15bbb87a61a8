"""Checkpoints for other programs: a folder that `transformers` loads, or ONNX. `python -m models.export --help`."""
