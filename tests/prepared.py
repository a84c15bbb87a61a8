"""Runs prepare_data on a source, as the tests of the data want it; rows to run it on."""

from __future__ import annotations

import json
import random
from pathlib import Path

from artifacts import Artifact, Output
from artifacts.corpus import Corpus
from steps.step import load_step
from telemetry import Observe

prepare_data = load_step("prepare_data")

_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "ol")]


def sentence(draw: random.Random, words: int = 20) -> str:
    """Made-up words; two sentences are never alike."""
    return " ".join("".join(draw.choices(_SYLLABLES, k=draw.randint(1, 3))) for _ in range(words))


def sentences(count: int, seed: int = 0, words: int = 20) -> list[str]:
    """That many sentences, all different."""
    draw = random.Random(seed)
    return [sentence(draw, words) for _ in range(count)]


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepare(root: Path, source: Path | str, **options: object) -> Artifact:
    """Run prepare_data on a source, in a home at `root`; `options` are its parameters."""
    given = {"source": str(source), "threads": 1, "min_characters": 10, **options}
    config = prepare_data.Config(**given)  # type: ignore[arg-type]
    output = Output("corpus", root / "work" / "corpus", step="prepare_data", root=root)
    prepare_data.run(config, {}, output, Observe.silent())
    return output.commit()


def all_texts(corpus: Artifact) -> dict[str, list[str]]:
    """The texts of each split."""
    return {split: list(Corpus(corpus).texts(split)) for split in ("train", "validation", "test")}
