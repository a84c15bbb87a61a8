"""Pretrain a network from random or imported weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from artifacts import checkpoint
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from steps.fitting import fit
from tasks import load
from tasks.training import train

if TYPE_CHECKING:
    from artifacts import Artifact, Output
    from steps.pretrain.config import Config
    from telemetry import Observe


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Train from random weights, or those of `init`, and keep the best by `select_by`."""
    corpus, tokenizer, chosen = Corpus(inputs["corpus"]), Tokenizer.of(inputs.get("tokenizer")), load(config.task)
    settings = chosen.settings(corpus, config.options)
    config, fitted = fit(config, corpus, tokenizer, observe)
    model, start, lesson = chosen.config(config, tokenizer, settings), None, None
    if config.init:
        from steps.huggingface_folder import folder_of
        from tasks.imported_weights import begin

        model, start = begin(folder_of(config.init, "init"), config, model, tokenizer)
    if config.teacher:
        from tasks.distillation import lesson_of

        lesson = lesson_of(chosen, Checkpoint(inputs["teacher"]), tokenizer, model, settings, config)
    result = train(chosen, corpus, tokenizer, model, settings, config, start, output, observe, lesson)
    with observe.phase("checkpoint"):
        checkpoint.write(
            output,
            config=model.model_dump(),
            task=config.task,
            settings=settings,
            weights=result.weights,
            history=result.history | fitted,
            tokenizer=tokenizer,
        )
