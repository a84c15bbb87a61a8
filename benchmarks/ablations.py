"""Ablations: the pretraining of `docs` with one choice changed at a time.

    python -m benchmarks.ablations                          all of them: about forty minutes on two cores
    python -m benchmarks.ablations optimizer norm           some
    python -m benchmarks.ablations --quick                  the optimizer and the pairs, 200 updates each

Each variant is a masked language model trained on the same batches for the same number of tokens, with the defaults of `pretrain`
but for the choice, and validated on the same rows and masks a dozen times. The figure is the speed-up in tokens: those that the
first variant needed for its last loss, over those that the other needed for the same loss (linear between two evaluations). One
seed each: two seeds differ by about 0.03 nats. Curves are drawn into docs/pictures/ablations/. Tokens are those that are no padding;
tokens a second are of the updates alone.

Choices of fine-tuning are compared in classifiers that start from the weights of the first training, half as many updates of twice
the tokens, with the defaults of `finetune`. `packing` is compared in the network and on the corpus of the pipeline `gpt`.
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

from benchmarks.ablation_training import BATCH_TOKENS
from benchmarks.results import keep
from benchmarks.train_encoder import ROOT, make_data, quiet
from pipelines import graph

PICTURES = ROOT / "docs" / "pictures" / "ablations"


@dataclass(frozen=True)
class Variant:
    """One training: its name, and the settings of `pretrain` that differ from the defaults."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A training's result."""

    curve: list[list[float]]  # tokens and validation loss at each evaluation
    speed: float  # tokens a second


@dataclass(frozen=True)
class Ablation:
    """A choice and its variants; the first is what the others are compared with."""

    title: str
    variants: tuple[Variant, ...]
    bar: float = 0.0  # speed-up of the best variant that we want to see; 0: none
    finetune: bool = False  # a choice of fine-tuning; else of pretraining
    base: dict[str, Any] = field(
        default_factory=dict
    )  # settings of all variants, where the choice needs others than the defaults
    pipeline: str = ""  # whose corpus, tokenizer and pretraining all variants have, if not those above


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
    "weight_decay": Ablation(
        "decay of matrices",
        (Variant("0.01"), Variant("0", {"weight_decay": 0.0}), Variant("0.1", {"weight_decay": 0.1})),
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
        (
            Variant("15 %"),
            Variant("30 %", {"options": {"mask_share": 0.3}}),
            Variant("30 to 15 %", {"options": {"mask_share": 0.3, "last_mask_share": 0.15}}),
        ),
    ),
    "causal_share": Ablation(
        "share of rows that are read causally",
        (Variant("none"), Variant("1/16", {"options": {"causal_share": 0.0625}})),
    ),
    "packing": Ablation(
        "rows or blocks of texts",
        (Variant("rows"), Variant("blocks", {"packing": True})),
        pipeline="gpt",
    ),
    "ema": Ablation("average of the weights", (Variant("none"), Variant("0.99", {"ema": 0.99}))),
    "spike": Ablation("roll-back after a loss spike", (Variant("never"), Variant("1.2 x", {"spike": 1.2}))),
    "layer_decay": Ablation(
        "learning rate of a layer over that of the one above",
        (Variant("1"), Variant("0.9", {"layer_decay": 0.9}), Variant("0.75", {"layer_decay": 0.75})),
        finetune=True,
    ),
    "freeze_layers": Ablation(
        "layers that keep their weights, the embedding included",
        (Variant("none"), Variant("1", {"freeze_layers": 1}), Variant("2", {"freeze_layers": 2})),
        finetune=True,
    ),
    "lora": Ablation(
        "rank of the change of each matrix",
        (Variant("whole"), Variant("8", {"lora_rank": 8}), Variant("32", {"lora_rank": 32})),
        finetune=True,
    ),
    "r_drop": Ablation(
        "weight of the difference between two dropouts",
        (Variant("0"), Variant("1", {"r_drop": 1.0}), Variant("5", {"r_drop": 5.0})),
        finetune=True,
        base={"dropout": 0.1},
    ),
    "label_smoothing": Ablation(
        "share of the label that is spread over all classes",
        (Variant("0"), Variant("0.1", {"label_smoothing": 0.1})),
        finetune=True,
    ),
}
QUICK = ("optimizer", "pairs")
_LENGTH = ("max_updates", "evaluate_every", "checkpoint_every", "log_every")  # of a training


def main() -> None:
    """Measure, draw and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ABLATIONS)} (default: all)")
    parser.add_argument("--updates", type=int, default=1200, help=f"of {BATCH_TOKENS:,} tokens (default: 1200)")
    parser.add_argument("--data", type=Path, help="folder with a corpus and a tokenizer, made if it is empty")
    parser.add_argument("--quick", action="store_true", help=f"{' and '.join(QUICK)}, 200 updates; keeps no figures")
    options = parser.parse_args()
    if unknown := set(options.names) - ABLATIONS.keys():
        parser.error(f"no ablation {', '.join(sorted(unknown))}; there are {', '.join(ABLATIONS)}")
    if options.quick:
        options.updates = 200
    with tempfile.TemporaryDirectory() as folder:
        options.data = options.data or Path(folder)
        defaults: dict[bool, Trained] = {}
        for name in options.names or (QUICK if options.quick else ABLATIONS):
            measure(name, defaults, options)


def measure(name: str, defaults: dict[bool, Trained], options: argparse.Namespace) -> None:
    """Train an ablation's variants and show them next to its first one, for most the defaults."""
    ablation = ABLATIONS[name]
    finetune, base, data = ablation.finetune, ablation.base, options.data
    if ablation.pipeline:
        data, nodes = data / ablation.pipeline, graph.load(ablation.pipeline)[0].nodes
        make_data(data, nodes["prepare_data"].config, nodes["train_tokenizer"].config["vocab_size"])
        other = {*_LENGTH, *(field for variant in ablation.variants for field in variant.changes)}
        base = base | {field: value for field, value in nodes["pretrain"].config.items() if field not in other}
    else:
        make_data(data)
        for kind in (False, finetune):  # what is fine-tuned was pretrained before
            if kind not in defaults:
                defaults[kind] = _child(Variant("the defaults"), data, options.updates, finetune=kind)
    print(f"{name}: {ablation.title}")
    results = {
        variant.name: defaults[finetune]
        if not base | variant.changes
        else _child(Variant(variant.name, base | variant.changes), data, options.updates, finetune=finetune)
        for variant in ablation.variants
    }
    curves = {variant: result.curve for variant, result in results.items()}
    first = next(iter(curves.values()))
    for variant, curve in curves.items():
        gain = speed_up(first, curve)
        reached = f"{gain:.2f} x as quick" if gain else "does not reach the first one's loss"
        after = f"after {curve[-1][0]:,} tokens at {results[variant].speed:,.0f} a second"
        print(f"  {variant:14} validation loss {curve[-1][1]:.3f} {after}: {reached}")
    if options.quick:
        return
    draw(ablation, curves, PICTURES / f"{name}.svg")
    losses = {variant: round(curve[-1][1], 3) for variant, curve in curves.items()}
    gains = {variant: round(speed_up(first, curve), 2) for variant, curve in curves.items()}
    command = f"python -m benchmarks.ablations {name} --updates {options.updates}"
    keep(f"ablation_{name}", command, figures(ablation, losses, gains))


def figures(ablation: Ablation, losses: dict[str, float], gains: dict[str, float]) -> list[dict[str, Any]]:
    """The best variant's figure, and of each variant but the first, by details, how it compares with that one."""
    first, *others = losses
    best = max(others, key=lambda variant: gains[variant])
    about = {"unit": "x", "bar": f"at least {ablation.bar}" if ablation.bar else "informational"}
    title, ok = f"{ablation.title}: tokens to the loss that {first} ends with", gains[best] >= ablation.bar
    what = f"{title}, over those of {best}" if gains[best] else f"{title}: no other reaches it"
    return [{"what": what, "value": gains[best], **about, "ok": ok}] + [
        {
            "what": ablation.title, "first": first, "variant": variant, "value": gains[variant], **about, "ok": ok,
            "loss": losses[variant], "loss_above": round(losses[variant] - losses[first], 3), "detail": True,
        }
        for variant in others
    ]  # fmt: skip


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


def _child(variant: Variant, data: Path, updates: int, *, finetune: bool = False) -> Trained:
    """One training in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ablation_training", json.dumps(variant.changes)]
    command += ["--data", str(data), "--updates", str(updates)]
    command += ["--finetune"] if finetune else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet(1), check=False)
    if done.returncode:
        sys.exit(f"{variant.name}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return Trained(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
