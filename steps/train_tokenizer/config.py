"""Parameters of `train_tokenizer`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from steps.contract import StepConfig, artifact

OUTPUT = "tokenizer"
_SMALLEST = 300  # ids, of a vocabulary that is given


class Config(StepConfig):
    corpus: str = artifact("corpus", "Corpus with the training split to use")
    source: str = Field("", description="hf:FOLDER of transformers: take over its tokenizer; empty: train one")
    kind: Literal["unigram", "bpe"] = Field("unigram", description="Kind of sentencepiece model")
    normalization: Literal["none", "identifiers"] = Field(
        "none",
        description="none: every text comes back as written; identifiers: small letters, getItem and get_item are two "
        "words, punctuation apart",
    )
    vocab_size: int = Field(
        0,
        ge=0,
        le=256_000,
        description="Number of ids, 5 special ones and 256 bytes among them; 0: "
        "as many as the corpus gives enough text for",
    )
    vocab_limit: int = Field(8192, ge=300, le=256_000, description="The most ids that vocab_size=0 comes to")
    character_coverage: float = Field(0.9995, gt=0, le=1, description="Share of characters with an id of their own")
    max_texts: int = Field(30_000, ge=100, description="Texts to train on, evenly taken from the training split")
    threads: int = Field(2, ge=1, le=64, description="Threads; another number sums in another order")

    @model_validator(mode="after")
    def _normalizes_what_it_trains(self) -> Config:
        if self.source and self.normalization != "none":
            raise ValueError("a tokenizer taken over (source) has its own normalization: leave it out")
        return self

    @field_validator("vocab_size")
    @classmethod
    def _holds_every_byte(cls, size: int) -> int:
        if 0 < size < _SMALLEST:
            raise ValueError(f"vocab_size={size} is under {_SMALLEST}; give more, or 0 to let it fit the corpus")
        return size
