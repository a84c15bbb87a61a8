"""A small corpus and a small tokenizer, made by the steps' own code in a second or two."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from artifacts import Artifact, Output
from steps import prepare_data, train_tokenizer
from telemetry import Observe

_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "ol")]


def text_of(label: str, random: random.Random, words: int = 30) -> str:
    """A text whose words lean towards its label, so that a classifier has something to learn."""
    taste = [place for place in range(len(_SYLLABLES)) if place % 5 == sum(map(ord, label)) % 5]
    chosen = []
    for _ in range(words):
        places = taste if random.random() < 0.6 else range(len(_SYLLABLES))
        chosen.append("".join(_SYLLABLES[random.choice(places)] for _ in range(random.randint(1, 3))))
    return " ".join(chosen)


def write_jsonl(path: Path, rows: int = 300, labels: Sequence[str] = ("a", "b", "c"), seed: int = 0) -> Path:
    """Rows with columns text, label and group (ten rows each), as JSON lines."""
    draw = random.Random(seed)
    with path.open("w") as file:
        for number in range(rows):
            label = labels[number % len(labels)]
            row = {"text": text_of(label, draw, draw.randint(15, 45)), "label": label, "group": f"module{number // 10}"}
            file.write(json.dumps(row) + "\n")
    return path


def prepare(root: Path, source: Path | str, observe: Observe | None = None, **options: object) -> Artifact:
    """Run prepare_data on a source; `options` are its parameters."""
    given = {"source": str(source), "threads": 1, **options}
    config = prepare_data.Config(**given)  # type: ignore[arg-type]
    output = Output("corpus", root / "work" / "corpus", step="prepare_data", root=root)
    prepare_data.run(config, {}, output, observe or Observe.silent())
    return output.commit()


def make_corpus(root: Path, rows: int = 300, labels: Sequence[str] = ("a", "b", "c"), seed: int = 0) -> Artifact:
    """A corpus of `rows` synthetic rows, evenly over the labels (empty: none), in a home at `root`."""
    root.mkdir(parents=True, exist_ok=True)
    source = write_jsonl(root / "rows.jsonl", rows, labels or ("a",), seed)
    columns = {"label_column": "label"} if labels else {}
    return prepare(root, source, validation_share=0.15, test_share=0.2, min_characters=10, **columns)


def make_tokenizer(root: Path, corpus: Artifact, vocab_size: int = 400, **options: object) -> Artifact:
    """A tokenizer trained on that corpus, in a home at `root`."""
    root.mkdir(parents=True, exist_ok=True)
    given = {"corpus": str(corpus.path), "vocab_size": vocab_size, **options}
    config = train_tokenizer.Config(**given)  # type: ignore[arg-type]
    output = Output("tokenizer", root / "work" / "tokenizer", "train_tokenizer", parents={"corpus": corpus}, root=root)
    train_tokenizer.run(config, {"corpus": corpus}, output, Observe.silent())
    return output.commit()
