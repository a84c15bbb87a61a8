"""A training with ten times the corpus: its peak memory, when it encodes the corpus and when token files are there already.

    python -m benchmarks.training_memory [--few 100000] [--many 1000000]

Rows are made up by seed: about 30 words drawn as a language draws them (Zipf). Each training is a process of its own: `pretrain`
with a network of one small layer, a few updates, then all batches of one epoch are read. The system measures its peak memory. For
comparison the same with all examples in memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import keep

_WORDS, _LETTERS = 50_000, "etaoinshrdlucmfwypvbgkqjxz"
_AT_ONCE = 10_000  # rows that are written at once
_BAR = 1.1
_TRAINING: dict[str, Any] = {
    "d_model": 64, "d_ff": 128, "num_heads": 2, "num_layers": 1, "max_length": 64, "max_updates": 20, "batch_tokens": 2048,
    "evaluate_every": 10, "checkpoint_every": 10, "log_every": 10, "threads": 1,
}  # fmt: skip


def make_corpus(home: Path, rows: int, seed: int = 1) -> Path:
    """A corpus of made-up rows, streamed to disk; a hundredth as many for validation."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from artifacts import Output, atomic

    random = np.random.default_rng(seed)
    letters = np.array(list(_LETTERS))
    words = np.array(["".join(random.choice(letters, size)) for size in random.integers(2, 10, _WORDS)])
    share = 1 / (np.arange(_WORDS) + 3)
    output = Output("corpus", home / "work" / "corpus", step="benchmark", root=home)
    counts = {"train": rows, "validation": rows // 100, "test": 1}
    schema = pa.schema([(name, pa.string()) for name in ("id", "text", "label", "group")])
    for split, count in counts.items():
        with pq.ParquetWriter(output.file(f"{split}.parquet"), schema, compression="zstd") as writer:
            for start in range(0, count, _AT_ONCE):
                lengths = random.integers(15, 46, min(_AT_ONCE, count - start))
                drawn = words[random.choice(_WORDS, lengths.sum(), p=share / share.sum())]
                texts = [" ".join(own) for own in np.split(drawn, np.cumsum(lengths)[:-1])]
                ids = [f"{split}.jsonl:{start + place}" for place in range(len(texts))]
                nothing = pa.nulls(len(texts), pa.string())
                writer.write_table(pa.table([ids, texts, nothing, nothing], schema))
    atomic.write_json(output.file("corpus.json"), {"rows": counts, "labels": [], "content": "text"})
    return output.commit().path


def make_tokenizer(home: Path, corpus: Path) -> Path:
    """A tokenizer of a corpus."""
    from artifacts import Output, open_artifact
    from steps.step import load_step
    from telemetry import Observe

    step, inputs = load_step("train_tokenizer"), {"corpus": open_artifact(corpus)}
    output = Output("tokenizer", home / "work" / "tokenizer", step=step.name, parents=inputs, root=home)
    step.run(step.Config(corpus=str(corpus), vocab_size=4096, threads=1), inputs, output, Observe.silent())  # type: ignore[call-arg]
    return output.commit().path


def train(home: Path, corpus: Path, tokenizer: Path, *, stored: bool) -> None:
    """Train, read all batches of an epoch, and print seconds and peak bytes."""
    from artifacts import Output, open_artifact
    from steps.step import load_step
    from tasks import token_cache, training
    from telemetry import Observe
    from training.batches import Examples, epoch

    seen: list[Examples] = []

    def take(*given: Any) -> Examples:
        seen.append(token_cache.examples_of(*given) if stored else given[0].examples(*given[1:6]))
        return seen[-1]

    training.examples_of = take
    step = load_step("pretrain")
    inputs = {"corpus": open_artifact(corpus), "tokenizer": open_artifact(tokenizer)}
    config = step.Config(**{name: str(made.path) for name, made in inputs.items()}, **_TRAINING)
    output = Output("checkpoint", home / "work" / "pretrain", step=step.name, parents=inputs, root=home)
    started = time.perf_counter()
    step.run(config, inputs, output, Observe.silent())
    digest = output.commit().digest
    seconds = time.perf_counter() - started
    tokens = sum(seen[0].batch(rows).tokens for rows in epoch(seen[0], _TRAINING["batch_tokens"], 1, 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "tokens": tokens, "digest": digest}))


def call(*arguments: object) -> str:
    """The last line that a fresh process of this program prints."""
    command = [sys.executable, "-m", "benchmarks.training_memory", "--child", *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr)
    return answer.stdout.splitlines()[-1]


def measure(rows: int) -> dict[str, dict[str, Any]]:
    """Figures of the trainings on so many rows: the one that encodes, the one after it, and one in memory."""
    home = Path(tempfile.mkdtemp(prefix="glassformer-"))
    found = {}
    try:
        corpus = call("corpus", home, rows)
        tokenizer = call("tokenizer", home, corpus)
        for name in ("encoding", "reading", "in memory"):
            found[name] = json.loads(call("train", home, corpus, tokenizer, name != "in memory"))
            shown = f"{found[name]['seconds']:.1f} s, peak {found[name]['peak'] / 1e6:.0f} MB"
            print(f"{rows:,} rows, {name}: {shown}", flush=True)
    finally:
        shutil.rmtree(home)
    if len({(one["digest"], one["tokens"]) for one in found.values()}) > 1:
        sys.exit("the three trainings are not the same")
    return found


def child(task: str, *given: str) -> None:
    """One part of the work, in a process of its own."""
    if task == "corpus":
        print(make_corpus(Path(given[0]), int(given[1])))
    elif task == "tokenizer":
        print(make_tokenizer(Path(given[0]), Path(given[1])))
    else:
        train(*map(Path, given[:3]), stored=given[3] == "True")


def main() -> None:
    """Measure both sizes and keep their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--few", type=int, default=100_000, help="rows of the small corpus")
    parser.add_argument("--many", type=int, default=1_000_000, help="rows of the large corpus")
    parser.add_argument("--child", nargs="+", metavar="TASK", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    few, many = measure(options.few), measure(options.many)
    sizes, figures = f"{options.many:,} rows against {options.few:,}", []
    names = {
        "reading": "with token files",
        "encoding": "that writes the token files",
        "in memory": "with all examples in memory",
    }
    for name, shown in names.items():
        ratio, barred = round(many[name]["peak"] / few[name]["peak"], 3), name != "in memory"
        figures.append({
            "what": f"peak memory of a training {shown}, {sizes}", "value": ratio, "unit": "x",
            "bar": f"at most {_BAR} x" if barred else "informational", "ok": not barred or ratio <= _BAR,
        })  # fmt: skip
    saved = round(many["encoding"]["seconds"] - many["reading"]["seconds"], 1)
    figures.append({"what": f"saved by token files in each further training, {options.many:,} rows", "value": saved,
                    "unit": "s", "bar": "informational", "ok": True})  # fmt: skip
    if (options.few, options.many) == (100_000, 1_000_000):
        keep("training_memory", "python -m benchmarks.training_memory", figures)
    else:  # a trial's figures are shown and not kept
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
