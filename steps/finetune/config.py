"""Parameters of `finetune`."""

from __future__ import annotations

from pydantic import Field, model_validator

from steps.contract import artifact, task
from steps.training_config import TrainingConfig
from training.options import (
    BatchTokens,
    CheckpointEvery,
    EvaluateEvery,
    LogEvery,
    Patience,
    Updates,
    Warmup,
)

OUTPUT = "checkpoint"


class Config(TrainingConfig):
    corpus: str = artifact("corpus", "Corpus with the labelled rows to train on")
    checkpoint: str = artifact("checkpoint", "Pretrained checkpoint; its architecture is taken over", optional=True)
    init: str = Field("", description="In place of a checkpoint: hf:FOLDER of transformers, architecture and weights")
    from_scratch: bool = Field(False, description="The same network from random weights, not the pretrained ones")
    task: str = task("classification")
    max_updates: Updates = 1300
    batch_tokens: BatchTokens = 2048
    warmup: Warmup = 0.1
    log_every: LogEvery = 20
    evaluate_every: EvaluateEvery = 130
    checkpoint_every: CheckpointEvery = 130
    patience: Patience = 4

    @model_validator(mode="after")
    def _has_a_start(self) -> Config:
        if not self.checkpoint and not self.init and not self.from_scratch:
            raise ValueError("give a checkpoint to start from, or set from_scratch=true")
        if self.checkpoint and self.init:
            raise ValueError("give a checkpoint or init to start from, not both")
        return self
