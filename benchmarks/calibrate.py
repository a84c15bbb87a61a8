"""Updates for a budget: how long an update of each training of a pipeline takes here, and how many tokens it sees.

    python -m benchmarks.calibrate history [--reference modern] [--pretrain 60] [--finetune 25] [--updates 30] [--busy]

A pipeline that compares models gives them equal budgets. A budget of seconds would make a run depend on the machine and on
what else it does; so seconds are measured once, here, and written into the pipeline as updates. Measured are updates alone,
on batches taken evenly from an epoch, the trainings in turn; evaluations, reading and saving are not.

For each model this prints the updates in which it sees as many tokens as the reference does in its budget, and those that
take as many seconds. What trains from scratch gets both parts of the budget for its one training. Corpus and tokenizer are
the pipeline's own: they are made first, or taken from the cache. Run it while nothing else runs, or with --busy: then CPU
seconds of one thread are counted, which shows how the trainings compare, but not how long they take.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
_WARM_UP = 3  # updates that are not counted


@dataclass(frozen=True)
class Measured:
    """One training's update: seconds, and tokens that are not padding."""

    seconds: float
    tokens: float


@dataclass
class Training:
    """A network with its optimizer and batches, one update at a time."""

    batch: Callable[[int], Any]
    learn: Callable[[Any, int], Any]
    tokens: float
    clock: Callable[[], float]
    seconds: list[float] = field(default_factory=list)

    def update(self) -> None:
        """One more; making the batch is not counted."""
        number = len(self.seconds)
        batch = self.batch(number)
        started = self.clock()
        self.learn(batch, number)
        self.seconds.append(self.clock() - started)

    def summary(self) -> Measured:
        """The mean over all updates but the first ones."""
        return Measured(statistics.fmean(self.seconds[_WARM_UP:]), self.tokens)


@dataclass(frozen=True)
class Model:
    """A fine-tuned model: its name and its trainings, pretraining first if there is one."""

    name: str
    trainings: tuple[str, ...]


def main() -> None:
    """Measure all trainings and print the updates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("pipeline", help="a pipeline whose trainings are pretrain and finetune")
    parser.add_argument("--reference", default="modern", help="node whose budget of seconds the others get")
    parser.add_argument("--pretrain", type=float, default=60, help="seconds of its pretraining")
    parser.add_argument("--finetune", type=float, default=25, help="seconds of its fine-tuning")
    parser.add_argument("--updates", type=int, default=30, help="updates measured of each training")
    parser.add_argument("--busy", action="store_true", help="CPU seconds of one thread, where other things run as well")
    options = parser.parse_args()
    from pipelines import graph
    from steps.process import WAITING

    os.environ.update(WAITING)  # as the steps have it; read when torch is loaded, which is after this
    pipeline = graph.load(options.pipeline)[0]
    models = models_of(pipeline)
    if options.reference not in [model.name for model in models]:
        sys.exit(
            f"--reference {options.reference}: no finetune node of {pipeline.name}: {', '.join(m.name for m in models)}"
        )
    data = Data(pipeline)
    # Trainings that differ in their number of updates alone take equally long.
    keys = {name: data.key(name) for model in models for name in model.trainings}
    alike = dict(zip(keys.values(), keys, strict=True))
    trainings = {key: data.training(name, options.updates, options.busy) for key, name in alike.items()}
    # In turn, an update of each: what slows the machine for a while slows all of them.
    for _ in tqdm(range(_WARM_UP + options.updates), desc="updates of each", disable=None):
        for training in trainings.values():
            training.update()
    measured = {name: trainings[key].summary() for name, key in keys.items()}
    for name, found in measured.items():
        print(f"  {name:28} {1000 * found.seconds:8.1f} ms and {found.tokens:6.0f} tokens an update")
    budget = budget_of(models, measured, options.reference, (options.pretrain, options.finetune))
    print(f"\n{'max_updates for equal':28} {'tokens':>22} {'seconds':>22}")
    for model in models:
        columns = [" + ".join(map(str, updates(model, measured, budget, what))) for what in ("tokens", "seconds")]
        print(f"  {model.name:26} {columns[0]:>22} {columns[1]:>22}")


def models_of(pipeline: Any) -> list[Model]:
    """The models of a pipeline: each finetune node with the pretraining whose weights it takes over."""
    models = []
    for node in pipeline.nodes.values():
        if node.step == "finetune":
            before = [] if node.config.get("from_scratch") else [node.inputs["checkpoint"]]
            models.append(Model(node.id, (*before, node.id)))
    return models


def budget_of(
    models: list[Model], measured: dict[str, Measured], reference: str, seconds: tuple[float, float]
) -> list[dict[str, float]]:
    """Seconds of pretraining and of fine-tuning, and the tokens that the reference sees in them."""
    trainings = next(model.trainings for model in models if model.name == reference)
    if len(trainings) != 2:
        sys.exit(f"--reference {reference}: has no pretraining whose budget the others could have")
    return [
        {"seconds": each, "tokens": each / measured[name].seconds * measured[name].tokens}
        for name, each in zip(trainings, seconds, strict=True)
    ]


def updates(model: Model, measured: dict[str, Measured], budget: list[dict[str, float]], what: str) -> list[int]:
    """Updates of each of a model's trainings, for equal `tokens` or `seconds`; two digits say all that was measured."""
    parts = [part[what] for part in budget]
    if len(model.trainings) == 1:
        parts = [sum(parts)]
    each = [getattr(measured[name], what) for name in model.trainings]
    return [round_to_two_digits(part / one) for part, one in zip(parts, each, strict=True)]


def round_to_two_digits(count: float) -> int:
    """To two digits: `1234` is `1200`."""
    return max(1, int(float(f"{count:.2g}")))


class Data:
    """A pipeline's corpus and tokenizer, and its trainings as they would be."""

    def __init__(self, pipeline: Any) -> None:
        from artifacts.corpus import Corpus
        from artifacts.store import Store
        from artifacts.tokenizer import Tokenizer
        from pipelines.plan import Planner

        self.pipeline = pipeline
        command = [sys.executable, "-m", "pipelines", "run", pipeline.name, "--to", "train_tokenizer"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        store = Store.default()
        planner, made = Planner(pipeline, store), {}
        for node in pipeline.nodes.values():
            if node.step in ("prepare_data", "train_tokenizer"):
                record = planner.plan(node).record
                assert record is not None
                made[node.step] = store.artifact(record, check=False)
        self.corpus, self.tokenizer = Corpus(made["prepare_data"]), Tokenizer(made["train_tokenizer"].path)

    def key(self, name: str) -> str:
        """Equal for trainings whose updates are alike."""
        node = self.pipeline.nodes[name]
        before = node.inputs.get("checkpoint")
        config = {key: value for key, value in node.checked_config().items() if key != "max_updates"}
        return json.dumps([node.step, config, self.key(before) if before else None], sort_keys=True, default=str)

    def training(self, name: str, count: int, busy: bool) -> Training:
        """A training that can be measured over `count` updates."""
        from models.chance import generator_of
        from tasks.model import build
        from training.batches import epoch, evenly
        from training.frameworks import build_backend, prepare
        from training.shards import cut

        config, task, settings, model = self.training_parts(name)
        prepare()
        examples = task.examples(self.corpus, self.tokenizer, "train", settings, model)
        backend = build_backend(build(task, model, settings, config.seed), task.objective(settings), config)
        batches = epoch(examples, config.batch_tokens, config.seed, 0)
        chosen = [batches[place] for place in evenly(len(batches), count + _WARM_UP)]
        return Training(
            lambda number: [examples.batch(rows) for rows in cut(chosen[number % len(chosen)], config.shards)],
            lambda shards, number: backend.update(
                [
                    task.ask(model, settings, batch, generator_of(config.seed, number, shard), training=True)
                    for shard, batch in enumerate(shards)
                ],
                number,
                config.learning_rate / 10,
            ),
            float(examples.lengths.sum()) / len(batches),
            time.process_time if busy else time.perf_counter,
        )

    def training_parts(self, name: str) -> tuple[Any, Any, Any, Any]:
        """A training's config, task, settings and network."""
        from tasks import load

        node = self.pipeline.nodes[name]
        config: Any = node.config_with(dict.fromkeys(node.inputs, "-"))
        task = load(config.task)
        settings = task.settings(self.corpus, config.options)
        if before := node.inputs.get("checkpoint"):
            model = self.training_parts(before)[3].with_changes({"dropout": config.dropout})
        else:
            model = task.config(config, self.tokenizer, settings)
        return config, task, settings, model


if __name__ == "__main__":
    main()
