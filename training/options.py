"""Options of a training, declared once: the Configs of pretrain and finetune inherit them, and the loop takes them as they are."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from models.devices import Compile, Compute, Device, Framework, Precision
from models.twins import OF_COMPUTE, missing_choice


def _check_power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError(f"must be 1, 2, 4 or another power of two, got {value}")
    return value


Updates = Annotated[int, Field(ge=0, description="Optimizer updates; 0: as many as the amount of data is worth")]
BatchTokens = Annotated[int, Field(ge=64, description="Tokens in a batch, padding included")]
Warmup = Annotated[float, Field(ge=0, le=1, description="Share of the updates in which the learning rate rises")]
LogEvery = Annotated[int, Field(ge=0, description="Updates between two points of the loss curve; 0: a hundredth")]
EvaluateEvery = Annotated[int, Field(ge=0, description="Updates between two evaluations; 0: a twentieth of them")]
CheckpointEvery = Annotated[int, Field(ge=0, description="Updates between two checkpoints; 0: a twentieth of them")]
Shards = Annotated[
    int,
    Field(ge=1, le=64, description="Parts of a batch, 1, 2, 4 ...: the cores or ranks that share it, at most"),
    AfterValidator(_check_power_of_two),
]
Ranks = Annotated[
    int,
    Field(
        ge=1,
        le=64,
        description="Processes that share the shards; the result is the same",
        json_schema_extra={"execution": True},
    ),
]
Patience = Annotated[int, Field(ge=0, description="Evaluations without progress before it stops early; 0: never")]

# Values that frameworks other than PyTorch have; the first is the one to choose.
_OF_TWINS = {"optimizer": ("adamw",), "lora_rank": (0,), "r_drop": (0,), "ranks": (1,), **OF_COMPUTE}
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
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Learning rate of a layer over that of the one above it (arXiv 1801.06146, 3.2)"
    )
    freeze_layers: int = Field(
        0, ge=0, description="Embedding and so many layers from below keep their weights; 0: none (arXiv 1911.03090)"
    )
    lora_rank: int = Field(
        0,
        ge=0,
        le=1024,
        description="Rank of what is added to each trained matrix; 0: it learns whole (arXiv 2106.09685)",
    )
    lora_alpha: float = Field(
        16.0, gt=0, description="LoRA: the added matrix is alpha / rank times its factors' product"
    )
    packing: bool = Field(
        False, description="Several texts in a row, up to max_length, without attention across (arXiv 2107.02027)"
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of an average of the weights, kept in place of them; 0: none (arXiv 2411.18704)",
    )
    spike: float = Field(
        0.0,
        ge=0,
        description="Roll back where a loss is over so many times the usual; 0: never (arXiv 2204.02311, 5.1)",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the label spread over all choices in training (arXiv 1512.00567, 7)"
    )
    r_drop: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of the difference of a batch's answers by two dropouts (arXiv 2106.14448, 2.2)",
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
    shards: Shards = 4
    ranks: Ranks = 1
    device: Device = Field("cpu", description="Device that computes")
    precision: Precision = Field("float32", description="Of matrix products")
    compile: Compile = Field("false", description="Compile the layers of a transformer")
    framework: Framework = Field("torch", description="Framework that trains")

    @property
    def compute(self) -> Compute:
        """Device, precision and compilation together."""
        return Compute.of(self.device, self.precision, self.compile, self.framework)

    @model_validator(mode="after")
    def _ranks_divide_shards(self) -> TrainingOptions:
        if self.shards % self.ranks:
            raise ValueError(
                f"ranks={self.ranks} does not divide shards={self.shards}: set ranks to 1, 2, 4 ... up to the shards"
            )
        if self.ranks > 1 and self.device == "mps":
            raise ValueError(f"ranks={self.ranks} are of CPUs or CUDA devices: set device=cpu, or ranks=1")
        return self

    @field_validator("spike")
    @classmethod
    def _is_above_usual(cls, value: float) -> float:
        if 0 < value <= 1:
            raise ValueError("a spike is above the usual loss: give more than 1, for instance 2, or 0 for none")
        return value

    @model_validator(mode="after")
    def _fits_low_rank(self) -> TrainingOptions:
        if self.lora_rank and self.optimizer == "muon":
            raise ValueError("lora_rank leaves no whole matrix to muon: set optimizer=adamw, or lora_rank=0")
        return self

    @model_validator(mode="after")
    def _framework_has_it(self) -> TrainingOptions:
        if problem := missing_option(self, self.framework):
            raise ValueError(problem)
        return self

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


def missing_option(options: TrainingOptions, framework: str) -> str:
    """The first option that a framework does not have, and the remedy, in one line; empty if it has all of them."""
    return missing_choice(framework, dict(options), _OF_TWINS)
