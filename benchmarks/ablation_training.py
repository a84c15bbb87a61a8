"""One training of an ablation, in a process of its own.

    python -m benchmarks.ablation_training '{"optimizer": "muon"}' --data FOLDER --updates 300

The last line printed is JSON: `curve`, (tokens, validation loss) at each evaluation, and `speed`, tokens a second of its updates alone,
both without padding. The pretraining without changes leaves its weights in the folder; `--finetune` trains a classifier that starts
from them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

BATCH_TOKENS = 1024
EVALUATIONS = 12
_START = "pretrained.safetensors"


def main() -> None:
    """Train and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", type=json.loads, help="settings of the step that differ from the defaults, as JSON")
    parser.add_argument("--data", type=Path, required=True, help="folder with a corpus and a tokenizer")
    parser.add_argument("--updates", type=int, required=True, help=f"of {BATCH_TOKENS:,} tokens")
    parser.add_argument("--finetune", action="store_true")
    print(json.dumps(train(parser.parse_args())))


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train with these changes."""
    from safetensors.numpy import load_file, save_file

    from artifacts import open_artifact
    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from tasks import load
    from tasks.model import build
    from tasks.starting_weights import Start, take_over
    from telemetry import Observe
    from training.frameworks import build_backend, prepare
    from training.loop import Trainer
    from training.packing import Blocks, padding_share
    from training.update_log import LINES, Updates

    config = config_of(options)
    prepare()
    task = load(config.task)
    corpus, tokenizer = Corpus(open_artifact(config.corpus)), Tokenizer(open_artifact(config.tokenizer).path)
    settings = task.settings(corpus, config.options)
    model = task.config(config, tokenizer, settings)
    examples = task.examples(corpus, tokenizer, "train", settings, model)
    validation = task.examples(corpus, tokenizer, "validation", settings, model).spread(config.validation_rows)
    network = build(task, model, settings, config.seed)
    if options.finetune:
        take_over(network, Start(options.data, "masked_lm", model, load_file(options.data / _START)))
    backend = build_backend(network, task.objective(settings), config)

    shares = ("mask_share", "last_mask_share")
    validated = {name: value for name, value in settings.items() if name not in shares}

    def ask(batch: Any, random: Any, *, training: bool) -> Any:
        """In validations as many masks as by default, whatever is masked in training."""
        return task.ask(model, settings if training else validated, batch, random, training=training)

    rows: Any = Blocks.pack(examples, model.max_length, config.seed) if config.packing else examples
    if config.packing:  # as many tokens in fewer updates
        filled = (1 - padding_share(each, config.batch_tokens, config.shards, config.seed) for each in (examples, rows))
        updates = round(config.max_updates * next(filled) / next(filled))
        config = config.model_copy(update={"max_updates": updates, **_readings(updates)})
    with tempfile.TemporaryDirectory() as work:
        trainer = Trainer(backend, ask, rows, validation, config, Path(work), Observe.silent())
        result = trainer.run("ablation")
        seconds = sum(Updates(Path(work) / LINES).curve("seconds")[1])
    if not options.changes and not options.finetune:
        save_file(result.weights, options.data / _START)
    tokens = {point["update"]: point["tokens"] for point in result.history["training"]}
    curve = [[tokens[point["update"]], point["loss"]] for point in result.history["validation"]]
    return {"curve": curve, "speed": result.history["tokens"] / seconds}


def config_of(options: argparse.Namespace) -> Any:
    """The Config of `pretrain` or `finetune`, its updates as many as the tokens fill."""
    from steps.step import load_step

    paths = json.loads((options.data / "made.json").read_text()) | ({"checkpoint": _START} if options.finetune else {})
    step = load_step("finetune" if options.finetune else "pretrain")
    default = BATCH_TOKENS * (2 if options.finetune else 1)
    batch_tokens = options.changes.get("batch_tokens", default)
    updates = max(1, options.updates * BATCH_TOKENS // batch_tokens)
    given = {
        "batch_tokens": batch_tokens,
        "max_updates": updates,
        "seed": 1,
        "patience": 0,
        **_readings(updates),
    }
    return step.Config(**paths, **given | options.changes)


def _readings(updates: int) -> dict[str, int]:
    """A dozen evaluations, and the tokens at each of them."""
    every = max(1, updates // EVALUATIONS)
    return {"evaluate_every": every, "log_every": every, "checkpoint_every": updates}


if __name__ == "__main__":
    main()
