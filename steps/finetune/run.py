"""Fine-tune a network on labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from artifacts import checkpoint
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from artifacts.tokenizer import Tokenizer
from models.config import Architecture, ModelConfig
from steps.fitting import fit
from tasks import load
from tasks.model import check_same_tokenizer
from tasks.training import train

if TYPE_CHECKING:
    from artifacts import Artifact, Output
    from steps.finetune.config import Config
    from tasks.starting_weights import Start
    from telemetry import Observe


# Fields of a network on which no trained weight depends.
_ANEW = ("attention_dropout", "layer_dropout", "unpadding", "pooling")


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Train on the labelled rows and keep the best weights by `select_by`."""
    corpus, tokenizer, chosen = Corpus(inputs["corpus"]), Tokenizer.of(inputs.get("tokenizer")), load(config.task)
    settings = chosen.settings(corpus, config.options)
    config, fitted = fit(config, corpus, tokenizer, observe)
    start: Checkpoint | Start | None = Checkpoint(inputs["checkpoint"]) if "checkpoint" in inputs else None
    if isinstance(start, Checkpoint):
        check_same_tokenizer(start, tokenizer)
        model = _network_of(start, config)
    else:
        model = chosen.config(config, tokenizer, settings)
        if config.init:
            from steps.huggingface_folder import folder_of
            from tasks.imported_weights import begin

            model, start = begin(folder_of(config.init, "init"), config, model, tokenizer)
    taken, lesson = None if config.from_scratch else start, None
    if config.teacher:
        from tasks.distillation import lesson_of

        lesson = lesson_of(chosen, Checkpoint(inputs["teacher"]), tokenizer, model, settings, config)
    result = train(chosen, corpus, tokenizer, model, settings, config, taken, output, observe, lesson)
    before = [*taken.pretraining, {**taken.history, "task": taken.task}] if isinstance(taken, Checkpoint) else []
    with observe.phase("checkpoint"):
        checkpoint.write(
            output, config=model.model_dump(), task=config.task, settings=settings, weights=result.weights,
            history=result.history | fitted, tokenizer=tokenizer, pretraining=before,
        )  # fmt: skip


def _network_of(start: Checkpoint, config: Config) -> ModelConfig:
    """The checkpoint's network, with what fine-tuning chooses anew. UserError for a choice that its weights have made."""
    trained: dict[str, Any] = start.config
    anew: dict[str, Any] = {"dropout": config.dropout}
    for name, field in Architecture.model_fields.items():
        value = getattr(config, name)
        if name in anew or value in (field.get_default(), trained.get(name)):  # a pipeline gives every field
            continue
        if name not in _ANEW:
            raise UserError(
                f"{name}={value}: a fine-tuning takes its network from the checkpoint ({name}={trained.get(name)}); leave "
                f"{name} out, or set it in the pretraining",
                2,
            )
        anew[name] = value
    try:
        return ModelConfig(**trained | anew)
    except ValidationError as error:
        problems = [problem["msg"].removeprefix("Value error, ") for problem in error.errors()]
        raise UserError(f"the checkpoint's network: {'; '.join(problems)}", 2) from None
