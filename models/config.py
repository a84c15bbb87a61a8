"""The shape of an encoder, free of any framework. Defaults that frameworks disagree on are named here, once.

The defaults are those of the `docs` pipeline: a size that two cores train in minutes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Architecture(BaseModel):
    """What a user chooses about an encoder. The steps' Configs take these fields over by inheriting them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    d_model: int = Field(128, ge=8, le=8192, description="Width of the residual stream")
    d_ff: int = Field(512, ge=8, le=65536, description="Width inside the feed-forward layers")
    num_heads: int = Field(4, ge=1, le=128, description="Attention heads; must divide d_model")
    num_layers: int = Field(4, ge=1, le=128, description="Encoder layers")
    max_length: int = Field(128, ge=8, le=8192, description="Longest sequence in tokens, [CLS] and [SEP] included")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of activations dropped in training")
    norm: Literal["pre", "post"] = Field("pre", description="Layer norm before each sublayer, or after it as in BERT")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Architecture:
        if self.d_model % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} does not divide d_model={self.d_model}")
        return self


class EncoderConfig(Architecture):
    """All that fixes an encoder's parameters and what it computes.

    BERT starts with a standard deviation of 0.02 at width 768; 0.05 is that, scaled by the square root of the widths to
    the default 128. With 0.02 the masked-LM loss stays longer on its first plateau.
    """

    vocab_size: int = Field(..., ge=8, description="Number of token ids")
    pad_id: int = Field(0, ge=0, description="Token id of padding")
    layer_norm_epsilon: float = Field(1e-5, gt=0, description="PyTorch's default; Flax has 1e-6, Keras 1e-3")
    activation: Literal["gelu_exact"] = Field("gelu_exact", description="GELU by the error function, not by tanh")
    initializer_std: float = Field(0.05, gt=0, description="Standard deviation of all weights at the start")

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.num_heads

    @classmethod
    def of(cls, architecture: Architecture, vocab_size: int, pad_id: int) -> EncoderConfig:
        """The full config of an encoder with the architecture that a step's Config holds."""
        chosen = {name: getattr(architecture, name) for name in Architecture.model_fields}
        return cls(**chosen, vocab_size=vocab_size, pad_id=pad_id)
