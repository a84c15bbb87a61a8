"""The parameters that `pretrain` and `finetune` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from models.config import Architecture
from steps.compute_config import ComputeConfig
from steps.contract import Options, artifact, options
from training.options import TrainingOptions


class TrainingConfig(ComputeConfig, Architecture, TrainingOptions):
    """A network, its data and how it is trained."""

    neutral: ClassVar[Mapping[str, Any]] = {**ComputeConfig.neutral, "packing": False}

    corpus: str = artifact("corpus", "Corpus to learn from")
    tokenizer: str = artifact("tokenizer", "Tokenizer of that corpus; left out where it is no text", optional=True)
    teacher: str = artifact("checkpoint", "Trained model of the same task that teaches this one", optional=True)
    init: str = Field("", description="hf:FOLDER of transformers: its architecture and weights; empty: random weights")
    options: Options = options()

    @model_validator(mode="after")
    def _keeps_trained_weights(self) -> TrainingConfig:
        begins = self.init or getattr(self, "checkpoint", "")
        random = not begins or getattr(self, "from_scratch", False)
        for name in ("freeze_layers", "lora_rank"):
            if random and getattr(self, name):
                raise ValueError(
                    f"{name} keeps weights that were trained before: give a checkpoint or init, or set {name}=0"
                )
        return self
