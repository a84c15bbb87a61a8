"""Options of a training, declared once: the Configs of pretrain and finetune inherit them, and the loop takes them as they are."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Updates = Annotated[int, Field(ge=0, description="Optimizer updates; 0: as many as the amount of data is worth")]
BatchTokens = Annotated[int, Field(ge=64, description="Tokens in a batch, padding included")]
Warmup = Annotated[float, Field(ge=0, le=1, description="Share of the updates in which the learning rate rises")]
LogEvery = Annotated[int, Field(ge=0, description="Updates between two points of the loss curve; 0: a hundredth")]
EvaluateEvery = Annotated[int, Field(ge=0, description="Updates between two evaluations; 0: a twentieth of them")]
CheckpointEvery = Annotated[int, Field(ge=0, description="Updates between two checkpoints; 0: a twentieth of them")]
Patience = Annotated[int, Field(ge=0, description="Evaluations without progress before it stops early; 0: never")]

_DECAY = 0.2  # share of the updates after the warm-up in which wsd falls


class TrainingOptions(BaseModel):
    """Defaults of pretraining; a subclass may give others."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_updates: Updates = 5000
    batch_tokens: BatchTokens = 1024
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="adamw (arXiv 1711.05101), or muon for the hidden matrices (arXiv 2502.16982, 2.2)"
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate")
    warmup: Warmup = 0.06
    schedule: Literal["cosine", "linear", "inverse_sqrt", "wsd"] = Field(
        "cosine", description="How the learning rate falls after the warm-up; wsd: constant, falling in the last fifth"
    )
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled decay of matrices")
    clip: float = Field(1.0, gt=0, description="Largest norm of a gradient")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the label spread over all choices in training (arXiv 1512.00567, 7)"
    )
    temperature: float = Field(2.0, gt=0, le=100, description="Teacher: how much its probabilities are evened out")
    soft_share: float = Field(0.7, ge=0, le=1, description="Teacher: share of its part in the loss (arXiv 1503.02531)")
    seed: int = Field(1, ge=0, description="Fixes weights, order, masks and dropout")
    log_every: LogEvery = 50
    evaluate_every: EvaluateEvery = 1000
    checkpoint_every: CheckpointEvery = 250
    patience: Patience = 0
    select_by: Literal["loss", "metric"] = Field(
        "loss", description="What chooses the best weights and stops early: validation loss, or the task's own metric"
    )
    dropout_by_data: bool = Field(False, description="While dropout=0: dropout as the amount of data has it")
    validation_rows: int = Field(
        1000, ge=1, description="Examples of the validation split that are evaluated, evenly taken"
    )
    threads: int = Field(1, ge=0, le=1024, description="CPU threads")

    def learning_rate_at(self, update: int) -> float:
        """Linear warm-up over the first `warmup` share, then down as `schedule` says. `update` counts from 0.

        Warm-up and inverse square root: Vaswani et al. 2017, section 5.3. Linear, to 0: Devlin et al. 2019, appendix A.2. Cosine, to
        a tenth: Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5. Warm-up, stable, decay: Haegele et al. 2024 (arXiv
        2405.18392), section 3, which falls by 1 - sqrt; the length of a training can then be chosen late.
        """
        rising = max(1, round(self.warmup * self.max_updates))
        if update < rising:
            return self.learning_rate * (update + 1) / rising
        share = min(1.0, (update - rising) / max(1, self.max_updates - rising))
        if self.schedule == "linear":
            return self.learning_rate * (1 - share)
        if self.schedule == "inverse_sqrt":
            return self.learning_rate * math.sqrt(rising / (update + 1))
        if self.schedule == "wsd":
            return self.learning_rate * (1 - math.sqrt(max(0.0, (share - 1 + _DECAY) / _DECAY)))
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))
