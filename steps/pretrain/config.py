"""Parameters of `pretrain`."""

from __future__ import annotations

from steps.contract import artifact, task
from steps.training_config import TrainingConfig

OUTPUT = "checkpoint"


class Config(TrainingConfig):
    corpus: str = artifact("corpus", "Corpus to learn from: all its text, labelled or not")
    task: str = task("masked_lm")
