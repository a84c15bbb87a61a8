"""The attributes of our signals, and names for the telemetry of trainings that others could adopt.

Nothing is sent under `ml.training.*`: OpenTelemetry has no conventions for trainings, and these are a proposal. From here and from
names.py, `python -m telemetry.registry` writes a registry and docs/names.md.
"""

from __future__ import annotations

from typing import Any

SERVER_SPANS = frozenset({"pipeline", "request"})  # all others are internal
OF_OPENTELEMETRY = ("cicd.", "exception.", "host.", "http.", "os.", "service.", "system.")  # defined there, not here

# Attributes of spans, metrics and processes: type (the values, where there are few), meaning, and an example.
ATTRIBUTES: dict[str, tuple[str | tuple[str, ...], str, Any]] = {
    "glassformer.run": ("string", "id of the run, which is the id of its trace too", "5c0f6b0d2f6c4a0e8a3c1d9be7f40112"),
    "glassformer.pipeline": ("string", "name of the pipeline, or of the training loop", "docs"),
    "glassformer.step": ("string", "kind of work of the process", "finetune"),
    "glassformer.node": ("string", "name of that work within its pipeline", "finetune_scratch"),
    "alias": ("string", "alias of a registered model that a server follows", "champion"),
    "baseline": ("string", "name of the baseline that has the score", "TF-IDF, logistic regression"),
    "better": (("higher", "lower"), "whether a higher or a lower value of the score is better", None),
    "characters": ("int", "characters of the texts of a request", 1200),
    "check": ("string", "check of the gate", "round_trip"),
    "first_update": ("int", "first update of the interval", 101),
    "flame_graph": ("string", "address of the flame graph of a step, or of an interval that was slow",
                    "http://127.0.0.1:9464/profiles/5c0f6b0d2f6c4a0e8a3c1d9be7f40112/pretrain/interval-101-150.svg"),
    "last_update": ("int", "last update of the interval", 150),
    "length": ("string", "range of lengths in characters", "100-200"),
    "metric": ("string", "name of the metric that the score is of", "macro_f1"),
    "model": ("string", "name of a registered model", "glassformer-docs"),
    "node": ("string", "node of the pipeline", "pretrain"),
    "questions": ("int", "questions of a request", 8),
    "reason": ("string", "why rows or labels were left out", "exact"),
    "split": ("string", "split of a corpus", "validation"),
    "step": ("string", "step that a node runs", "pretrain"),
    "title": ("string", "start, pipeline and short id of a run, by which it is offered", "2026-11-03 14:05 docs 5c0f6b0d"),
    "unit": ("string", "unit of the score", "1"),
    "update": ("int", "number of the update, counted from 1; with the exemplars of histograms", 1234),
    "version": ("string", "version of a registered model", "3"),
}  # fmt: skip
PROCESS = ("glassformer.run", "glassformer.pipeline", "glassformer.step", "glassformer.node")  # of every record
_SCORE = ("better", "metric", "unit")
METRIC_ATTRIBUTES = {
    "corpus.duplicates": ("reason",),
    "corpus.labels_out": ("reason",),
    "corpus.quarantined": ("reason",),
    "corpus.rows": ("split",),
    "corpus.rows_by_length": ("length",),
    "corpus.rows_out": ("reason",),
    "gate.decision": ("model",),
    "node.state": ("node",),
    "pipeline.cache_hits": ("node",),
    "pipeline.cache_misses": ("node",),
    "pipeline.saved_seconds": ("node",),
    "pipeline.state": ("title",),
    "report.baseline_score": ("baseline", *_SCORE),
    "report.score": _SCORE,
}
SPAN_ATTRIBUTES = {
    "compare": ("check",),
    "interval": ("first_update", "flame_graph", "last_update"),
    "node": ("node", "step"),
    "pause": ("node",),
    "request": ("characters", "model", "questions", "version"),
    "serve": ("alias", "model"),
    "step": ("flame_graph",),
}

# Our name -> the one that others could adopt.
TRAINING_ATTRIBUTES = {
    "glassformer.run": "ml.training.run.id",
    "update": "ml.training.update",
    "first_update": "ml.training.interval.first_update",
    "last_update": "ml.training.interval.last_update",
    "flame_graph": "ml.training.flame_graph.url",
}
TRAINING_SPANS = {
    "train": "ml.training.train",
    "build": "ml.training.build",
    "interval": "ml.training.interval",
    "validate": "ml.training.validate",
    "compile": "ml.training.compile",
    "checkpoint": "ml.training.checkpoint",
}
TRAINING_EVENTS = {
    "checkpoint.damaged": "ml.training.checkpoint.damaged",
    "checkpoint.resumed": "ml.training.checkpoint.resumed",
    "training.rolled_back": "ml.training.rolled_back",
    "training.overflow": "ml.training.overflow",
    "training.packed": "ml.training.packed",
    "training.out_of_memory": "ml.training.out_of_memory",
    "training.fitted": "ml.training.fitted",
}
TRAINING_METRICS = {
    "training.loss": "ml.training.loss",
    "training.learning_rate": "ml.training.learning_rate",
    "training.gradient_norm": "ml.training.gradient_norm",
    "training.tokens_per_second": "ml.training.token.rate",
    "training.updates_per_second": "ml.training.update.rate",
    "training.updates": "ml.training.update.count",
    "training.tokens": "ml.training.token.count",
    "training.seconds": "ml.training.duration",
    "training.update_loss": "ml.training.update.loss",
    "training.update_seconds": "ml.training.update.duration",
    "training.lowest_update_loss": "ml.training.update.lowest_loss",
    "training.highest_update_loss": "ml.training.update.highest_loss",
    "training.compile_seconds": "ml.training.compile.duration",
    "training.padding_share": "ml.training.padding.share",
    "training.not_finite": "ml.training.not_finite",
    "training.roll_backs": "ml.training.roll_backs",
    "training.max_updates": "ml.training.max_updates",
    "training.dropout": "ml.training.dropout",
    "validation.loss": "ml.training.validation.loss",
    "validation.best_loss": "ml.training.validation.best_loss",
    "validation.score": "ml.training.validation.score",
    "validation.best_score": "ml.training.validation.best_score",
}
