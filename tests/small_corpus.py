"""A small corpus and tokenizer, made in a second, by the code that makes real ones."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from artifacts import Artifact, Output
from telemetry import Observe

WORDS = {
    "a": "apple orchard autumn almond anchor arrow amber alley",
    "b": "river boat bridge bank basin brook beach barge",
    "c": "cloud copper candle castle canyon cedar comet coral",
}
COMMON = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "for",
    "was",
    "on",
    "as",
    "with",
    "by",
    "at",
    "from",
    "this",
    "have",
    "or",
    "one",
    "had",
    "not",
    "but",
    "what",
    "all",
    "were",
]


def text_of(label: str, number: random.Random) -> str:
    """A sentence of common words, with some that only this label uses."""
    own = WORDS[label].split()
    return " ".join(number.choice(own) if number.random() < 0.4 else number.choice(COMMON) for _ in range(24))


def write_csv(path: Path, rows: int = 300, seed: int = 0) -> Path:
    """A CSV file with columns `text` and `label`."""
    number = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for place in range(rows):
            label = "abc"[place % 3]
            writer.writerow([text_of(label, number), label])
    return path


def make_corpus(root: Path, rows: int = 300, seed: int = 0, **options: object) -> Artifact:
    """A corpus with labels a, b, c."""
    from steps.prepare_data.config import Config
    from steps.prepare_data.run import run

    source = write_csv(root / f"rows{rows}-{seed}.csv", rows, seed)
    output = Output("corpus", root / "work-corpus", step="prepare_data", root=root)
    chosen = {"source": str(source), "label_column": "label", "min_characters": 10, "threads": 1, "validation_share": 0.2,
              "test_share": 0.2} | options  # fmt: skip
    run(Config(**chosen), {}, output, Observe.silent())
    return output.commit()


def make_tokenizer(root: Path, corpus: Artifact, vocab_size: int = 360) -> Artifact:
    """A tokenizer of that corpus."""
    from steps.train_tokenizer.config import Config
    from steps.train_tokenizer.run import run

    output = Output("tokenizer", root / "work-tokenizer", step="train_tokenizer", parents={"corpus": corpus}, root=root)
    run(Config(corpus=str(corpus.path), vocab_size=vocab_size, threads=1), {"corpus": corpus}, output, Observe.silent())
    return output.commit()


def train(root: Path, step: str, inputs: dict[str, Artifact], **options: object) -> Artifact:
    """Run `pretrain` or `finetune` with a tiny network, or that of a checkpoint."""
    from steps.step import load_step

    module = load_step(step)
    size = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_layers": 1, "max_length": 32}
    short = {
        "max_updates": 12,
        "batch_tokens": 256,
        "evaluate_every": 6,
        "checkpoint_every": 4,
        "log_every": 3,
        "validation_rows": 20,
    }
    tiny = short if "checkpoint" in inputs else size | short
    config = module.Config(**tiny | {name: str(made.path) for name, made in inputs.items()} | options)
    work = root / f"work-{step}-{config.seed}-{config.max_updates}"
    output = Output("checkpoint", work, step=step, parents=inputs, root=root)
    module.run(config, inputs, output, Observe.silent())
    return output.commit()
