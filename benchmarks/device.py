"""A GPU, tried from end to end in at most 8 minutes: is it right, does it repeat itself, how fast is it?

    python -m benchmarks.device                     CUDA; says so and ends with 1 where there is none
    python -m benchmarks.device --device cpu --quick     the same on the CPU at a hundredth of the size, to try this program itself

Correct   losses of four kinds of network against the CPU's, in float32 and bfloat16
Repeats   two trainings, and one that is killed and resumed: one sha256 of all weights
Fast      GPT-2 124M in training, bfloat16 and compiled: tokens a second, its share of the GPU's peak (MFU), peak memory

MFU as Chowdhery et al. 2022 (PaLM, arXiv 2204.02311), appendix B: a token takes 6 N + 12 L H K T floating-point operations, with N
parameters without positions, L layers, H heads of width K, T tokens of context.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import keep
from command_line import fail
from models import presets
from models.chance import generator_of
from models.config import ModelConfig
from models.devices import Compute
from models.question import Question, ask_places
from tasks import load
from tasks.model import build
from telemetry import Observe
from training.batches import Examples
from training.loop import Trainer
from training.options import TrainingOptions

# Dense peak of bfloat16 in FLOP/s, by a part of the GPU's name; the first that fits.
PEAKS = {
    "B200": 2250e12, "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12,
    "A10G": 70e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip
TEXT = ModelConfig(d_model=256, num_heads=4, num_layers=4, d_ff=1024, max_length=256, vocab_size=8192)
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder, rotary, no padding": ("masked_lm", {"positions": "rope", "activation": "geglu", "unpadding": True}),
    "decoder, relative positions": ("causal_lm", {"positions": "relative", "norm_kind": "rms", "bias": False}),
    "encoder-decoder": ("seq2seq", {"positions": "sinusoidal", "norm": "post"}),
    "LSTM": ("masked_lm", {"network": "recurrent", "cell": "lstm"}),
}
DISTANCES = {"float32": 5e-3, "bfloat16": 5e-2}  # relative, of a row's loss; float32 is TF32 on a GPU
SETTINGS = {"seq2seq": {"too_long": "truncate"}}


def main() -> int:
    """Measure and keep the figures. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size; nothing is kept")
    options = parser.parse_args()
    try:
        compute = Compute.of(options.device, "bfloat16")
    except ValueError as error:
        return fail(f"benchmarks.device: {error}; nothing was measured", 1)
    figures = [
        *correctness(compute, options.quick),
        *repetition(compute, options.quick),
        *speed(compute, options.quick),
    ]
    if not options.quick:
        keep("device", "python -m benchmarks.device", figures)
        return 0
    for figure in figures:
        print(f"{figure['what']}: {figure['value']} {figure['unit']} ({'met' if figure['ok'] else 'NOT MET'})")
    return 0


def correctness(compute: Compute, quick: bool) -> Iterator[dict[str, Any]]:
    """The farthest loss of a row from the CPU's in float32, for each precision."""
    for precision, bar in DISTANCES.items():
        worst = max(_distance(name, changes, compute.device, precision, quick) for name, changes in NETWORKS.values())
        what = f"losses in {precision} against the CPU's in float32, {len(NETWORKS)} networks, the farthest row"
        yield _figure(what, f"{worst:.1e}", "", f"at most {bar:g}", worst <= bar)


def repetition(compute: Compute, quick: bool) -> Iterator[dict[str, Any]]:
    """Different weights over trainings that should end alike."""
    digests = set()
    for kill_at in (None, None, 13):
        with tempfile.TemporaryDirectory() as work:
            if kill_at is not None:
                try:
                    _train(Path(work), compute, quick, kill_at)
                except KeyboardInterrupt:
                    print(f"  killed before update {kill_at}; resuming", flush=True)
            digests.add(_train(Path(work), compute, quick))
    what = "different weights after 24 updates: trained twice, and once killed and resumed"
    yield _figure(what, len(digests), "digest", "1 digest", len(digests) == 1)


def speed(compute: Compute, quick: bool) -> Iterator[dict[str, Any]]:
    """Training of GPT-2 124M on random tokens: what they are makes no difference to the time."""
    import torch

    config = ModelConfig(**presets.read("gpt2") | {"vocab_size": 50257, "dropout": 0.0})
    rows, length, updates = (32, 1024, 30)
    if quick:
        config, rows, length, updates = config.with_changes({"num_layers": 1, "d_model": 96, "d_ff": 384}), 2, 128, 3
    from training.frameworks import build_backend

    task = load("causal_lm")
    fast = Compute(compute.device, compute.precision, not quick)
    backend = build_backend(build(task, config, {}, 1, fast), task.objective({}), TrainingOptions())
    parameters = sum(value.size for name, value in backend.weights().items() if "positions" not in name)
    seconds = []
    for number in range(updates):
        question = _tokens(config, rows, length, number)
        started = time.perf_counter()
        backend.update([question], number, 1e-4)  # reads the loss, so it ends when the GPU does
        seconds.append(time.perf_counter() - started)
    rate = rows * length / float(np.median(seconds[updates // 3 :]))
    flops = rate * (6 * parameters + 12 * config.num_layers * config.d_model * length)
    yield _figure("GPT-2 124M in training: tokens a second", round(rate), "tokens/s", "informational", True)
    name = torch.cuda.get_device_name() if compute.device == "cuda" else "CPU"
    peak = next((value for part, value in PEAKS.items() if part in name), None)
    if peak is None:
        what = f"the same, computed in a second ({name}, whose peak is not known here)"
        yield _figure(what, round(flops / 1e12, 3), "TFLOP/s", "informational", True)
    else:
        share = round(100 * flops / peak, 1)
        yield _figure(f"the same, of the peak of {name} (MFU)", share, "%", "at least 35, goal 50", share >= 35)
    if compute.device == "cuda":
        used = torch.cuda.max_memory_allocated() / 2**30
        yield _figure(
            f"the same, peak memory at {rows} x {length} tokens", round(used, 1), "GiB", "informational", True
        )


def _figure(what: str, value: Any, unit: str, bar: str, ok: bool) -> dict[str, Any]:
    print(f"  {what}: {value} {unit}", flush=True)
    return {"what": what, "value": value, "unit": unit, "bar": bar, "ok": ok}


def _distance(name: str, changes: dict[str, Any], device: str, precision: str, quick: bool) -> float:
    from training.frameworks import build_backend

    task, settings = load(name), SETTINGS.get(name, {})
    size = {"d_model": 64, "d_ff": 128, "vocab_size": 500} if quick else {}
    config = TEXT.with_changes(size | changes)
    batch = _examples(config, 32, 0, pairs=name == "seq2seq").batch(np.arange(32))
    question = task.ask(config, settings, batch, generator_of(5), training=False)
    losses = []
    for compute in (Compute(), Compute(device, precision)):
        backend = build_backend(build(task, config, settings, 3, compute), task.objective(settings), TrainingOptions())
        losses.append(backend.row_losses(question).total.astype(np.float64))
    return float((np.abs(losses[1] - losses[0]) / losses[0].clip(1e-3)).max())  # a row without answers has a loss of 0


class _Killed:
    """A backend that ends before an update, as if the power failed."""

    def __init__(self, backend: Any, at: int) -> None:
        self._backend, self._at = backend, at

    def update(self, shards: list[Question], number: int, learning_rate: float) -> Any:
        if number == self._at:
            raise KeyboardInterrupt
        return self._backend.update(shards, number, learning_rate)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _train(work: Path, compute: Compute, quick: bool, kill_at: int | None = None) -> str:
    """A training of 24 updates with dropout, from what `work` holds: sha256 of its weights."""
    from training.frameworks import build_backend, prepare

    prepare()
    task = load("masked_lm")
    size = {"d_model": 64, "d_ff": 128, "vocab_size": 500} if quick else {}
    config = TEXT.with_changes(size | {"dropout": 0.1})
    chosen = TrainingOptions(max_updates=24, batch_tokens=2048, evaluate_every=12, checkpoint_every=5, log_every=8)
    backend: Any = build_backend(build(task, config, {}, 1, compute), task.objective({}), chosen)
    examples = _examples(config, 300, 1), _examples(config, 32, 2)
    ask = partial(task.ask, config, {})
    backend = backend if kill_at is None else _Killed(backend, kill_at)
    result = Trainer(backend, ask, *examples, chosen, work, Observe.silent()).run("device")
    total = hashlib.sha256()
    for name in sorted(result.weights):
        total.update(result.weights[name].tobytes())
    return total.hexdigest()


def _examples(config: ModelConfig, rows: int, seed: int, *, pairs: bool = False) -> Examples:
    random = np.random.default_rng(seed)
    lengths = random.integers(8, min(120, config.max_length) - 2, rows)
    texts = [[2, *random.integers(5, config.vocab_size, size).tolist(), 3] for size in lengths]
    return Examples.of(texts, [str(row) for row in range(rows)], 0, **({"targets": texts[::-1]} if pairs else {}))


def _tokens(config: ModelConfig, rows: int, length: int, seed: int) -> Question:
    ids = np.random.default_rng(seed).integers(5, config.vocab_size, (rows, length + 1))
    inputs = {"input_ids": np.ascontiguousarray(ids[:, :-1])}
    return ask_places(inputs, np.ones((rows, length), bool), np.ascontiguousarray(ids[:, 1:]))


if __name__ == "__main__":
    sys.exit(main())
