"""Pipelines: graphs of steps in YAML, planned by fingerprint, run through MLflow Projects."""
