"""The price of each framework: the same pretraining and the same questions in PyTorch, Flax and TensorFlow.

    python -m benchmarks.frameworks [--updates 60] [--rounds 2]        about ten minutes on two cores, after `make setup FRAMEWORKS=1`

The network of `pretrain`'s defaults on the corpus of docs, without dropout, whose chance is each framework's own. Each training is a
process of its own, in turn, on all cores. What is compiled is compiled before the time is taken: a first pass over the same batches
meets each shape; the seconds of that are told apart. Memory is the peak of the process, its imports included.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.results import keep
from benchmarks.train_encoder import ROOT, make_data, open_inputs, quiet
from models.devices import FRAMEWORKS
from training.shards import cores

UPDATES, ROUNDS, ASKED = 60, 2, 30  # batches that are answered
_SAME = 1e-5  # of losses, relative


def main() -> None:
    """Measure and keep the figures; with `--child`, one process of one framework."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="processes of each framework")
    parser.add_argument("--data", type=Path, help="folder with a corpus and a tokenizer, made if it is empty")
    parser.add_argument("--child", choices=FRAMEWORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(run_child(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.data = options.data or Path(folder)
        make_data(options.data)
        order = [
            kind
            for number in range(options.rounds)
            for kind in (FRAMEWORKS if number % 2 == 0 else reversed(FRAMEWORKS))
        ]
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in FRAMEWORKS}
        for kind in tqdm(order, desc="processes", disable=None):
            found[kind].append(measure(kind, options))
            print(kind, {name: value for name, value in found[kind][-1].items() if name != "losses"}, flush=True)
    report(found, options)


def measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """One process."""
    command = [sys.executable, "-m", "benchmarks.frameworks", "--child", kind, "--data", str(options.data)]
    command += ["--updates", str(options.updates)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet(cores()))
    if done.returncode:
        sys.exit(f"{kind}: exit {done.returncode}\n{done.stderr[-3000:]}")
    read: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return read


def run_child(options: argparse.Namespace) -> dict[str, Any]:
    """Updates and answers in one framework."""
    from models.chance import generator_of
    from models.devices import Compute
    from tasks.masked_lm.task import TASK
    from tasks.model import build
    from training.batches import epoch, in_order
    from training.frameworks import build_backend, prepare
    from training.shards import cut

    began = time.perf_counter()
    prepare(options.child)
    corpus, tokenizer, config = open_inputs(options)
    config = config.model_copy(update={"framework": options.child, "dropout": 0.0, "shards": cores()})
    settings = TASK.settings(corpus, {})
    model = TASK.config(config, tokenizer, settings)
    examples = TASK.examples(corpus, tokenizer, "train", settings, model)
    order = epoch(examples, config.batch_tokens, config.seed, 0)[: options.updates]

    def questions(number: int) -> list[Any]:
        return [
            TASK.ask(model, settings, examples.batch(part), generator_of(config.seed, number, shard), training=True)
            for shard, part in enumerate(cut(order[number], config.shards))
        ]

    asked = [questions(number) for number in range(len(order))]
    network = build(TASK, model, settings, config.seed, Compute(framework=options.child))
    backend = build_backend(network, TASK.objective(settings), config)
    ready = time.perf_counter() - began
    start, state = backend.weights(), backend.optimizer()
    losses = [
        backend.update(shards, number, config.learning_rate_at(number)).loss for number, shards in enumerate(asked)
    ]
    compiled = backend.compile_seconds
    backend.load_weights(start)
    backend.load_optimizer(state)
    training = time.perf_counter()
    again = [
        backend.update(shards, number, config.learning_rate_at(number)).loss for number, shards in enumerate(asked)
    ]
    training = time.perf_counter() - training
    evaluated = in_order(examples.spread(4000), config.batch_tokens)[:: max(1, len(order) // ASKED)][:ASKED]
    answers = [TASK.ask(model, settings, examples.batch(rows), generator_of(1), training=False) for rows in evaluated]
    for question in answers:
        network.logits(question)
    answering = time.perf_counter()
    for question in answers:
        network.logits(question)
    answering = time.perf_counter() - answering
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "tokens": sum(examples.tokens(rows) for rows in order), "seconds": training, "repeats": losses == again, "losses": losses,
        "answered": sum(examples.tokens(rows) for rows in evaluated), "answering": answering, "compiling": compiled, "ready": ready,
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }  # fmt: skip


def report(found: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """Ratios of the medians to PyTorch's, and how far the losses are apart."""

    def median(kind: str, value: Any) -> float:
        return statistics.median(value(run) for run in found[kind])

    figures: list[dict[str, Any]] = []

    def add(what: str, value: float, unit: str, bar: str = "informational", ok: bool = True) -> None:
        figures.append({"what": what, "value": value, "unit": unit, "bar": bar, "ok": ok})

    reference = np.array(found["torch"][0]["losses"])
    for kind in [kind for kind in FRAMEWORKS if kind != "torch"]:
        for what, value in (
            ("training: tokens a second", lambda run: run["tokens"] / run["seconds"]),
            ("answers: tokens a second", lambda run: run["answered"] / run["answering"]),
            ("peak memory", lambda run: run["bytes"]),
        ):
            add(
                f"{FRAMEWORKS[kind]} against PyTorch, {what}",
                round(median(kind, value) / median("torch", value), 2),
                "x",
            )
        add(
            f"{FRAMEWORKS[kind]}: compiling the shapes of {options.updates} updates",
            round(median(kind, lambda run: run["compiling"]), 1),
            "s",
        )
        apart = max(float(np.max(np.abs(np.array(run["losses"]) / reference - 1))) for run in found[kind])
        what = (
            f"{FRAMEWORKS[kind]}: largest relative difference of a loss from PyTorch's, over {options.updates} updates"
        )
        add(what, float(f"{apart:.1e}"), "", f"at most {_SAME:.0e}", apart <= _SAME)
    command = f"python -m benchmarks.frameworks --updates {options.updates} --rounds {options.rounds}"
    keep("frameworks", command, figures)


if __name__ == "__main__":
    main()
