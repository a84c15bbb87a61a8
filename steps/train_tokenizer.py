"""Train a tokenizer, or take one over, and measure it: corpus -> tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from steps.contract import StepConfig, artifact
from steps.pretrained import folder_of, tokenizer_files

if TYPE_CHECKING:
    from artifacts import Artifact, Output
    from telemetry import Observe

OUTPUT = "tokenizer"
_SMALLEST = 300  # ids, of a vocabulary that is given


class Config(StepConfig):
    corpus: str = artifact("corpus", "Corpus whose training split is learnt")
    source: str = Field("", description="hf:FOLDER of transformers: take over its tokenizer; empty: train one")
    kind: Literal["unigram", "bpe"] = Field("unigram", description="Kind of sentencepiece model")
    vocab_size: int = Field(0, ge=0, le=256_000, description="Number of ids, 5 special ones and 256 bytes among them; 0: "
                            "as many as the corpus gives enough text for")  # fmt: skip
    vocab_limit: int = Field(8192, ge=300, le=256_000, description="The most ids that vocab_size=0 comes to")
    character_coverage: float = Field(0.9995, gt=0, le=1, description="Share of characters with an id of their own")
    max_texts: int = Field(
        30_000, ge=100, description="Texts that are learnt from, evenly taken from the training split"
    )
    threads: int = Field(2, ge=1, le=64, description="Threads; another number sums in another order")

    @field_validator("vocab_size")
    @classmethod
    def _holds_every_byte(cls, size: int) -> int:
        if 0 < size < _SMALLEST:
            raise ValueError(f"vocab_size={size} is under {_SMALLEST}; give more, or 0 to let it fit the corpus")
        return size

    def external_files(self) -> list[Path]:
        """The files of a tokenizer that is taken over."""
        return tokenizer_files(self.source)


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Train on the training split, or take over what was trained elsewhere; measure on the validation split."""
    from artifacts import atomic
    from artifacts.corpus import Corpus
    from artifacts.huggingface_tokenizer import take_over
    from artifacts.pieces import MODEL
    from artifacts.tokenizer import INFO, Tokenizer
    from steps.tokenization import measure, train

    corpus = Corpus(inputs["corpus"])
    about: dict[str, Any] = {"kind": config.kind}
    if config.source:
        about = {"kind": "huggingface", **take_over(folder_of(config.source, "source"), output.file)}
    else:
        with observe.phase("train"):
            train(config, corpus, output.file(MODEL), observe)
    atomic.write_json(output.file(INFO), about)  # read below; then written anew with the measures
    tokenizer = Tokenizer(output.path)
    with observe.phase("measure"):
        measures = measure(tokenizer, corpus, observe)
    atomic.write_json(output.file(INFO), {**about, "vocab_size": tokenizer.vocab_size, **measures})
    own = measures["tokenizer"]
    observe.metric("tokenizer.fertility", own["fertility"])
    observe.metric("tokenizer.bytes_per_token", own["bytes_per_token"])
    observe.metric("tokenizer.unknown_share", own["unknown_share"])
    observe.metric("tokenizer.round_trip_share", own["round_trip_share"])
    output.counts["vocab_size"] = tokenizer.vocab_size
    observe.log(
        "tokenizer.trained", f"{own['bytes_per_token']:.2f} bytes a token, {own['round_trip_share']:.1%} exact", **own
    )


if __name__ == "__main__":
    from steps.wrapper import main

    main(Config, run)
