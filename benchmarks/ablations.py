"""Ablations: the pretraining of `docs` with one choice changed at a time.

    python -m benchmarks.ablations                          all of them: about forty minutes on two cores
    python -m benchmarks.ablations optimizer norm           some
    python -m benchmarks.ablations --quick                  the optimizer and the pairs, 200 updates each

Each variant is a masked language model trained on the same batches for the same number of tokens, with the defaults of `pretrain`
but for the choice, and validated on the same rows and masks a dozen times. The figure is the speed-up in updates: those that the
first variant needed for its last loss, over those that the other needed for the same loss (linear between two evaluations). One
seed each: two seeds differ by about 0.03 nats. Curves are drawn into docs/pictures/ablations/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.results import keep
from benchmarks.train_encoder import ROOT, make_data, quiet

PICTURES = ROOT / "docs" / "pictures" / "ablations"
BATCH_TOKENS = 1024
EVALUATIONS = 12


@dataclass(frozen=True)
class Variant:
    """One training: its name, and the settings of `pretrain` that differ from the defaults."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """A choice and its variants; the first is what the others are compared with."""

    title: str
    variants: tuple[Variant, ...]
    bar: float = 0.0  # speed-up of the best variant that we want to see; 0: none


ABLATIONS = {
    "optimizer": Ablation(
        "Muon for the hidden matrices", (Variant("AdamW"), Variant("Muon", {"optimizer": "muon"})), bar=1.3
    ),
    "pairs": Ablation(
        "hashed pairs of tokens", (Variant("tokens alone"), Variant("32,768 pairs", {"bigram_buckets": 32768}))
    ),
    "learning_rate": Ablation(
        "highest learning rate",
        (
            Variant("0.001"),
            Variant("0.0003", {"learning_rate": 0.0003}),
            Variant("0.003", {"learning_rate": 0.003}),
        ),
    ),
    "warmup": Ablation(
        "share of updates with a rising rate",
        (Variant("6 %"), Variant("none", {"warmup": 0.0}), Variant("25 %", {"warmup": 0.25})),
    ),
    "schedule": Ablation(
        "learning rate after the warm-up",
        (
            Variant("cosine"),
            Variant("linear", {"schedule": "linear"}),
            Variant("inverse_sqrt", {"schedule": "inverse_sqrt"}),
            Variant("wsd", {"schedule": "wsd"}),
        ),
    ),
    "norm": Ablation("place of the norm", (Variant("before"), Variant("after (BERT)", {"norm": "post"}))),
    "initialization": Ablation(
        "standard deviation at the start",
        (
            Variant("0.05"),
            Variant("0.02 (BERT)", {"initializer_std": 0.02}),
            Variant("0.2", {"initializer_std": 0.2}),
        ),
    ),
    "clip": Ablation(
        "largest norm of a gradient", (Variant("1"), Variant("0.1", {"clip": 0.1}), Variant("none", {"clip": 1e9}))
    ),
    "batch": Ablation(
        "tokens in a batch, as many tokens in all",
        (Variant("1,024"), Variant("512", {"batch_tokens": 512}), Variant("4,096", {"batch_tokens": 4096})),
    ),
    "mask_share": Ablation(
        "share of masked tokens in training",
        (Variant("15 %"), Variant("30 %", {"options": {"mask_share": 0.3}})),
    ),
}
QUICK = ("optimizer", "pairs")


def main() -> None:
    """Measure, draw and keep the figures; with `--child`, one training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ABLATIONS)} (default: all)")
    parser.add_argument("--updates", type=int, default=1200, help=f"of {BATCH_TOKENS:,} tokens (default: 1200)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="folder with a corpus and a tokenizer, made if it is empty")
    parser.add_argument("--quick", action="store_true", help=f"{' and '.join(QUICK)}, 200 updates; keeps no figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.names) - ABLATIONS.keys():
        parser.error(f"no ablation {', '.join(sorted(unknown))}; there are {', '.join(ABLATIONS)}")
    if options.quick:
        options.updates = 200
    if options.child:
        print(json.dumps(train(json.loads(options.child), options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.data = options.data or Path(folder)
        options.data.mkdir(parents=True, exist_ok=True)
        make_data(options.data)
        defaults = _child(Variant("the defaults"), options)
        for name in options.names or (QUICK if options.quick else ABLATIONS):
            measure(name, defaults, options)


def measure(name: str, defaults: list[list[float]], options: argparse.Namespace) -> None:
    """Train an ablation's variants and show them next to the defaults, which are its first variant."""
    ablation = ABLATIONS[name]
    print(f"{name}: {ablation.title}")
    curves = {variant.name: _child(variant, options) if variant.changes else defaults for variant in ablation.variants}
    first = next(iter(curves.values()))
    for variant, curve in curves.items():
        gain = speed_up(first, curve)
        reached = f"{gain:.2f} x as quick" if gain else "does not reach the first one's loss"
        print(f"  {variant:14} validation loss {curve[-1][1]:.3f} after {curve[-1][0]:,} tokens: {reached}")
    if options.quick:
        return
    draw(ablation, curves, PICTURES / f"{name}.svg")
    best = max(list(curves)[1:], key=lambda variant: speed_up(first, curves[variant]))
    gain = speed_up(first, curves[best])
    figure = {
        "what": f"{ablation.title}: tokens to the loss that {next(iter(curves))} ends with, over those of {best}",
        "value": round(gain, 2),
        "unit": "x",
        "bar": f"at least {ablation.bar}" if ablation.bar else "informational",
        "ok": gain >= ablation.bar,
    }
    keep(f"ablation_{name}", f"python -m benchmarks.ablations {name} --updates {options.updates}", [figure])


def speed_up(first: list[list[float]], other: list[list[float]]) -> float:
    """Tokens of the first curve over those after which the other one reaches its last loss; 0 if it never does."""
    tokens, wanted = first[-1]
    if other[0][1] <= wanted:
        return tokens / other[0][0]
    for (before, higher), (after, lower) in pairwise(other):
        if lower <= wanted:
            return tokens / (before + (after - before) * (higher - wanted) / (higher - lower))
    return 0.0


def draw(ablation: Ablation, curves: dict[str, list[list[float]]], path: Path) -> None:
    """Validation losses over tokens, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "ablations"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for variant, curve in curves.items():
        axes.plot([tokens / 1e6 for tokens, _ in curve], [loss for _, loss in curve], label=variant, marker=".")
    axes.set(xlabel="million tokens", ylabel="validation loss, nats", title=ablation.title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _child(variant: Variant, options: argparse.Namespace) -> list[list[float]]:
    """One training in a process of its own: (tokens, validation loss) at each evaluation."""
    command = [sys.executable, "-m", "benchmarks.ablations", "--child", json.dumps(variant.changes)]
    command += ["--data", str(options.data), "--updates", str(options.updates), "--threads", str(options.threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet(options.threads), check=False)
    if done.returncode:
        sys.exit(f"{variant.name}: exit {done.returncode}\n{done.stderr[-3000:]}")
    curve: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return curve


def train(changes: dict[str, Any], options: argparse.Namespace) -> list[list[float]]:
    """Pretrain with these changes."""
    from artifacts import open_artifact
    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from steps.pretrain.config import Config
    from tasks.masked_lm.task import TASK
    from tasks.model import build
    from telemetry import Observe
    from training.frameworks import build_backend, prepare
    from training.loop import Trainer

    paths = json.loads((options.data / "made.json").read_text())
    batch_tokens = changes.get("batch_tokens", BATCH_TOKENS)
    updates = options.updates * BATCH_TOKENS // batch_tokens
    config = Config(
        **paths,
        **changes,
        max_updates=updates,
        threads=options.threads,
        seed=1,
        evaluate_every=max(1, updates // EVALUATIONS),
        checkpoint_every=updates,
    )
    prepare(config.threads)
    corpus, tokenizer = Corpus(open_artifact(paths["corpus"])), Tokenizer(open_artifact(paths["tokenizer"]).path)
    settings = TASK.settings(corpus, config.options)
    model = TASK.config(config, tokenizer, settings)
    examples = TASK.examples(corpus, tokenizer, "train", settings, model)
    validation = TASK.examples(corpus, tokenizer, "validation", settings, model).spread(config.validation_rows)
    backend = build_backend(build(TASK, model, settings, config.seed), TASK.objective(settings), config)

    def ask(batch: Any, random: Any, *, training: bool) -> Any:
        """Validation masks are those of the defaults, whatever is masked in training."""
        return TASK.ask(model, settings if training else TASK.settings(corpus, {}), batch, random, training=training)

    with tempfile.TemporaryDirectory() as work:
        trainer = Trainer(backend, ask, examples, validation, config, Path(work), Observe.silent())
        history = trainer.run("ablation").history
    return [[point["update"] * batch_tokens, point["loss"]] for point in history["validation"]]


if __name__ == "__main__":
    main()
