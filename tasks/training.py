"""Train a task's network: the one way from a corpus to weights, for pretraining and fine-tuning alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from tasks.model import Model, build, predict
from tasks.starting_weights import Start, take_heads, take_over
from tasks.token_cache import examples_of
from training.batches import evenly
from training.frameworks import build_backend, prepare
from training.loop import Result, Trainer
from training.update_log import LINES, TABLE, write_table
from training.validation import Scorer

if TYPE_CHECKING:
    from artifacts import Output
    from artifacts.checkpoint import Checkpoint
    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from models.network import Network
    from tasks.distillation import Lesson
    from tasks.task import Settings, Task
    from telemetry import Observe
    from training.batches import Examples, Rows
    from training.options import TrainingOptions


_SAMPLES, _SHOWN = 3, 300  # texts that are shown along a training, and characters of each
ABOUT = "training.json"  # next to the update log: all that is needed to compute a loss again


def train(
    task: Task, corpus: Corpus, tokenizer: Tokenizer, model: ModelConfig, settings: Settings,
    config: TrainingOptions, start: Checkpoint | Start | None, output: Output, observe: Observe,
    lesson: Lesson | None = None,
) -> Result:  # fmt: skip
    """Train `task`'s network, starting from the weights of `start` that fit; with a `lesson`, from a teacher as well.

    Resumes what `output.work` holds.
    """
    with observe.phase("import"):
        prepare(config.framework, output.root)
    rows, validation, about_rows = _rows(task, corpus, tokenizer, model, settings, config, output, observe, lesson)
    with observe.phase("build"):
        network = build(task, model, settings, config.seed, config.compute)
        if start is not None:
            take_over(network, start)
            if isinstance(start, Start) and (heads := take_heads(network, start)):
                message = f"{', '.join(heads)} of {start.task} taken over with the body"
                observe.log("weights.taken", message, heads=heads)
        objective = task.objective(settings)
        backend = build_backend(network, lesson.teach(objective) if lesson else objective, config)
    about = about_training(task, model, settings, config, output) | {"lesson": lesson.about() if lesson else None}
    atomic.write_json(output.work / ABOUT, about)
    with observe.phase("train"):
        now = _answering(task, network, tokenizer, model, settings)
        shown, scorer = _samples(task, now, corpus), None
        if config.select_by == "metric":
            scorer = _scorer(task, now, corpus, settings, config.validation_rows)
        ask = partial(task.ask, model, settings)
        trainer = Trainer(backend, ask, rows, validation, config, output.work, observe, shown, scorer)
        result = trainer.run(output.step)
    with observe.phase("checkpoint"):
        compiled = {"compile_seconds": round(backend.compile_seconds, 3)} if backend.compile_seconds else {}
        atomic.write_json(output.sidecar(ABOUT), about | compiled)
        write_table(output.work / LINES, output.sidecar(TABLE))
    output.counts.update(updates=result.history["updates"], tokens=result.history["tokens"], examples=len(rows.ids))
    trained_by = {} if config.framework == "torch" else {"framework": config.framework}
    return replace(result, history=result.history | about_rows | trained_by)


def _rows(
    task: Task, corpus: Corpus, tokenizer: Tokenizer, model: ModelConfig, settings: Settings, config: TrainingOptions,
    output: Output, observe: Observe, lesson: Lesson | None,
) -> tuple[Rows, Examples, dict[str, Any]]:  # fmt: skip
    """Rows to train on, examples to validate with, and what the history says of the rows."""
    if config.packing:
        from tasks.packing import check, pack

        check(task, model, settings, lesson)
    with observe.phase("tokenize"):
        training, validation = (
            examples_of(task, corpus, tokenizer, split, settings, model, output.root, observe)
            for split in ("train", "validation")
        )
        for split, examples in (("train", training), ("validation", validation)):
            if examples.cut:
                message = f"{examples.cut} of {len(examples)} rows of the split {split} are over max_length={model.max_length}: cut"
                observe.log("rows.cut", message, level="warning", split=split, rows=examples.cut)
        validation = validation.spread(config.validation_rows)
        if config.packing and len(training):
            blocks, counts = pack(training, model, config, observe)
            return blocks, validation, {"packing": counts}
        return training, validation, {}


def _answering(
    task: Task, network: Network, tokenizer: Tokenizer, model: ModelConfig, settings: Settings
) -> Callable[[], Model]:
    """A function that returns the model as it is now. For other frameworks PyTorch answers: it decodes, and will serve what they train."""
    answers = network if network.compute.framework == "torch" else build(task, model, settings)
    made = Model(answers, tokenizer, model, task.name, dict(settings))

    def now() -> Model:
        if answers is not network:
            answers.load_weights(network.weights())
        return made

    return now


def _samples(task: Task, now: Callable[[], Model], corpus: Corpus) -> Callable[[], list[list[str]]]:
    """A function that returns a few texts of the validation split, each with the network's answer at the time."""
    places = set(evenly(corpus.count("validation"), _SAMPLES).tolist())
    texts = [text for place, text in enumerate(corpus.texts("validation")) if place in places]
    return lambda: [[text[:_SHOWN], written] for text, written in zip(texts, task.samples(now(), texts), strict=False)]


def _scorer(task: Task, now: Callable[[], Model], corpus: Corpus, settings: Settings, rows: int) -> Scorer:
    """The task's primary metric of a network that is still learning, on at most so many rows of the validation split."""
    questions = task.sample(task.questions(corpus, "validation", dict(settings)), rows)

    def measure() -> float:
        answers = predict(task, now(), questions[task.input].tolist())
        return task.metrics(task.statistics(questions, answers))[task.primary_metric]

    return Scorer(task.primary_metric, task.higher_is_better, measure)


def about_training(
    task: Task, model: ModelConfig, settings: Settings, config: TrainingOptions, output: Output
) -> dict[str, Any]:
    """All that is needed to compute a loss of this training again, as `tasks.why` does, finished or not."""
    inputs = {name: {"digest": made.digest, "path": str(made.path)} for name, made in output.parents.items()}
    return {
        "task": task.name,
        "settings": dict(settings),
        "model": model.model_dump(),
        "seed": config.seed,
        "shards": config.shards,
        "framework": config.framework,
        "log_every": config.log_every,
        "max_updates": config.max_updates,
        "inputs": inputs,
    }
