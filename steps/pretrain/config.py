"""Parameters of `pretrain`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.config import Architecture
from steps.contract import Options, ThreadedConfig, artifact, options, task

OUTPUT = "checkpoint"


class Config(ThreadedConfig, Architecture):
    corpus: str = artifact("corpus", "Corpus to learn from: all its text, labelled or not")
    tokenizer: str = artifact("tokenizer", "Tokenizer of that corpus; left out where it is no text", optional=True)
    teacher: str = artifact("checkpoint", "Trained model of the same task that teaches this one", optional=True)
    init: str = Field("", description="hf:FOLDER of transformers: its architecture and weights; empty: random weights")
    task: str = task("masked_lm")
    options: Options = options()
    max_updates: int = Field(5000, ge=0, description="Optimizer updates; 0: as many as the amount of data is worth")
    batch_tokens: int = Field(1024, ge=64, description="Tokens in a batch, padding included")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate")
    warmup: float = Field(0.06, ge=0, le=1, description="Share of the updates in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled decay of matrices")
    clip: float = Field(1.0, gt=0, description="Largest norm of a gradient")
    temperature: float = Field(2.0, gt=0, le=100, description="Teacher: how much its probabilities are evened out")
    soft_share: float = Field(0.7, ge=0, le=1, description="Teacher: share of its part in the loss (arXiv 1503.02531)")
    seed: int = Field(1, ge=0, description="Fixes weights, order, masks and dropout")
    log_every: int = Field(50, ge=0, description="Updates between two points of the loss curve; 0: a hundredth")
    evaluate_every: int = Field(1000, ge=0, description="Updates between two evaluations; 0: a twentieth of them")
    checkpoint_every: int = Field(250, ge=0, description="Updates between two checkpoints; 0: a twentieth of them")
    patience: int = Field(0, ge=0, description="Evaluations without progress before it stops early; 0: never")
    select_by: Literal["loss", "metric"] = Field(
        "loss", description="What chooses the best weights and stops early: validation loss, or the task's own metric"
    )
    dropout_by_data: bool = Field(False, description="While dropout=0: dropout as the amount of data has it")
    validation_rows: int = Field(
        1000, ge=1, description="Examples of the validation split that are evaluated, evenly taken"
    )
