"""Parameters of `evaluate`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steps.compute_config import ComputeConfig
from steps.contract import Folders, Options, artifact, options, task

OUTPUT = "report"


class Config(ComputeConfig):
    corpus: str = artifact("corpus", "Corpus whose split is asked")
    tokenizer: str = artifact("tokenizer", "Tokenizer it was trained with; left out where it is no text", optional=True)
    checkpoint: str = artifact("checkpoint", "Checkpoint to evaluate")
    scratch: str = artifact("checkpoint", "The same network without pretraining, as a baseline", optional=True)
    rivals: Folders = artifact("checkpoint", "Other models of the same task, asked the same", many=True)
    task: str = task("classification")
    options: Options = options("How the task predicts (decoding, for instance), as {name: value}; see its file")
    split: Literal["validation", "test"] = Field("test", description="Split that is asked")
    bootstrap_samples: int = Field(1000, ge=0, le=100_000, description="Samples for the intervals; 0: no intervals")
    seed: int = Field(1, ge=0, description="Fixes the bootstrap and the baselines")
