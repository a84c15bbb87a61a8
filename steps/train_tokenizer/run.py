"""Train a tokenizer or take one over, and measure it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.corpus import Corpus
from artifacts.pieces import MODEL
from artifacts.tokenizer import INFO, Tokenizer
from steps.train_tokenizer.tokenization import measure, train

if TYPE_CHECKING:
    from artifacts import Artifact, Output
    from steps.train_tokenizer.config import Config
    from telemetry import Observe


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Train on the training split, or import a tokenizer trained elsewhere; measure on the validation split."""
    corpus = Corpus(inputs["corpus"])
    about: dict[str, Any] = {"kind": config.kind}
    if config.normalization != "none":
        about["normalization"] = config.normalization
    if config.source:
        from artifacts.huggingface_tokenizer import take_over
        from steps.huggingface_folder import folder_of

        about = {"kind": "huggingface", **take_over(folder_of(config.source, "source"), output.file)}
    else:
        with observe.phase("train"):
            train(config, corpus, output.file(MODEL), observe)
    atomic.write_json(output.file(INFO), about)  # read below, then written again with the measures
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
        "tokenizer.trained",
        f"{own['bytes_per_token']:.2f} bytes a token, {own['round_trip_share']:.1%} come back",
        **own,
    )
