"""Decoder training, compared with nanoGPT in its own configuration for a CPU, on tiny-shakespeare by characters.

    python -m benchmarks.decoder --nanogpt FOLDER [--text FILE] [--updates 2000] [--rounds 1]     five minutes on two cores

nanoGPT is its own train.py, unchanged, with the flags of its README for a CPU and all of PyTorch's threads. Ours is a training by
`training/` in two shards, with the same sizes, optimizer, schedule, batches of 12 blocks of 64 characters, and ids from nanoGPT's
prepare.py. Each training is a process of its own, in turn. The loss is that of the whole validation text in blocks, by one function
for all. Ours is trained once more with `precision: bfloat16`, which is quicker on a CPU that multiplies it (AMX), and slower on others;
nanoGPT computes in float32 on a CPU, whatever its `dtype` says.

Speed is tokens over the time between the ends of two updates, evaluations left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.results import keep
from benchmarks.train_encoder import NOISE, quiet

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("ours", "bfloat16", "nanogpt")
ROWS, LENGTH = 12, 64  # of a batch
_SHARDS = 2  # as many as the cores of the machine that the bar is for: more of them, of three rows each, take longer
_WARM_UP, _RISING = 10, 100  # updates: not measured; while the learning rate rises, in nanoGPT's configuration
_GET = {
    "nanogpt": "git clone https://github.com/karpathy/nanoGPT, then --nanogpt FOLDER (a git directory will do)",
    "text": "get input.txt of data/tinyshakespeare in https://github.com/karpathy/char-rnn, then --text FILE",
}
DATA = Path("data", "shakespeare_char")
FLAGS = {
    "device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 1, "block_size": LENGTH, "batch_size": ROWS,
    "n_layer": 4, "n_head": 4, "n_embd": 128, "dropout": 0.0,
}  # fmt: skip


def main() -> None:
    """Measure and keep the figures; with `--child`, one training."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    add_sources(parser)
    parser.add_argument("--updates", type=int, default=2000, help="of each training; its schedule is as long")
    parser.add_argument("--rounds", type=int, default=1, help="trainings of each kind")
    parser.add_argument("--child", choices=("ours", "bfloat16", "loss"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps({"loss": loss_of_nanogpt(options)} if options.child == "loss" else train_ours(options)))
        return
    if options.updates <= _RISING:
        sys.exit(f"benchmarks.decoder: the learning rate rises for {_RISING} updates: give more --updates")
    check_sources(options)
    with tempfile.TemporaryDirectory() as folder:
        options.nanogpt = copy_nanogpt(options.nanogpt, options.text, Path(folder, "nanogpt"))
        runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for number in range(options.rounds):
            for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                runs[kind].append(train_nanogpt(options) if kind == "nanogpt" else child(kind, options))
                print(f"  {kind:8} {json.dumps(runs[kind][-1])}", flush=True)
    report(runs, options)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Options for nanoGPT and its text."""
    parser.add_argument("--nanogpt", type=Path, default=ROOT.parent / "nanoGPT", help="a clone of karpathy/nanoGPT")
    text = ROOT.parent / "shared" / "data" / "tinyshakespeare" / "input.txt"
    parser.add_argument("--text", type=Path, default=text, help="tiny-shakespeare")


def check_sources(options: argparse.Namespace) -> None:
    """End with how to get what is not there."""
    for name, path in (("nanogpt", options.nanogpt), ("text", options.text)):
        if not path.exists():
            sys.exit(f"benchmarks.{Path(sys.argv[0]).stem}: {path} does not exist: {_GET[name]}")


def report(runs: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    """Ratios of the medians."""
    seconds = {kind: statistics.median(run["seconds"] for run in each) for kind, each in runs.items()}
    loss = {kind: statistics.median(run["loss"] for run in each) for kind, each in runs.items()}
    for kind in KINDS:
        print(f"{kind:8} {ROWS * LENGTH / seconds[kind]:8,.0f} tokens/s, validation loss {loss[kind]:.4f}")
    figures: list[dict[str, Any]] = []
    for kind, precision in (("ours", "float32"), ("bfloat16", "bfloat16")):
        faster, worse = round(seconds["nanogpt"] / seconds[kind], 2), round(loss[kind] - loss["nanogpt"], 3)
        figures += [
            {"what": f"a decoder's training in {precision}, nanoGPT's CPU configuration: tokens a second, against nanoGPT",
             "value": faster, "unit": "x", "bar": "at least 1.15, goal 1.3", "ok": faster >= 1.15},
            {"what": f"its validation loss in {precision} above nanoGPT's after as many tokens", "value": worse, "unit": "nats",
             "bar": f"at most {NOISE} (noise)", "ok": worse <= NOISE},
        ]  # fmt: skip
    keep("decoder", f"python -m benchmarks.decoder --updates {options.updates} --rounds {options.rounds}", figures)


def copy_nanogpt(source: Path, text: Path, target: Path) -> Path:
    """Its files, from a work tree or a git directory, with the text as numbers by its own prepare.py."""
    if (source / "train.py").exists():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".git"))
    else:
        archive = subprocess.run(["git", "--git-dir", source, "archive", "HEAD"], capture_output=True, check=False)
        if archive.returncode:
            sys.exit(f"benchmarks.decoder: {source}: no train.py, and no git directory: {_GET['nanogpt']}")
        target.mkdir()
        subprocess.run(["tar", "-x", "-C", target], input=archive.stdout, check=True)
    shutil.copy(text, target / DATA / "input.txt")
    subprocess.run([sys.executable, "prepare.py"], cwd=target / DATA, check=True, stdout=subprocess.DEVNULL)
    return target


def train_nanogpt(options: argparse.Namespace) -> dict[str, float]:
    """A run of its train.py, which prints the time of each update, and its loss."""
    length = dict.fromkeys(("max_iters", "lr_decay_iters", "eval_interval"), options.updates)
    flags = FLAGS | length | {"always_save_checkpoint": True}
    command = [sys.executable, "train.py", "config/train_shakespeare_char.py"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    done = subprocess.run(command, cwd=options.nanogpt, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"nanoGPT: exit {done.returncode}\n{done.stderr[-3000:]}")
    found = re.findall(r"^iter (\d+): loss \S+, time (\S+)ms", done.stdout, re.MULTILINE)
    times = {int(number): float(milliseconds) / 1000 for number, milliseconds in found}
    seconds = [times[number] for number in range(_WARM_UP, options.updates)]  # it evaluates at 0 and at `updates`
    return {"seconds": statistics.fmean(seconds), **child("loss", options)}


def child(kind: str, options: argparse.Namespace) -> dict[str, float]:
    """A training of ours, or a loss, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.decoder", "--child", kind, "--updates", str(options.updates)]
    command += ["--nanogpt", str(options.nanogpt)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet(1), check=False)
    if done.returncode:
        sys.exit(f"{kind}: exit {done.returncode}\n{done.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def train_ours(options: argparse.Namespace) -> dict[str, float]:
    """A training by `training/`, from its first update to its last evaluation."""
    import numpy as np

    from models.config import ModelConfig
    from models.devices import Compute
    from tasks.causal_lm.task import TASK
    from tasks.model import build
    from telemetry import Observe
    from training.loop import Trainer
    from training.options import TrainingOptions
    from training.torch.backend import TorchBackend, prepare
    from training.update_log import Updates
    from training.validation import evaluate

    prepare()
    config = ModelConfig(
        d_model=128, d_ff=512, num_layers=4, num_heads=4, max_length=LENGTH, bias=False, initializer="gpt2",
        initializer_std=0.02, vocab_size=66, pad_id=65, cls_id=-1, sep_id=-1, mask_id=-1, special_ids=(65,),
    )  # fmt: skip
    chosen = TrainingOptions(
        max_updates=options.updates, batch_tokens=ROWS * (LENGTH + 1), shards=_SHARDS, learning_rate=1e-3,
        warmup=_RISING / options.updates, weight_decay=0.1, evaluate_every=options.updates,
        checkpoint_every=options.updates,
    )  # fmt: skip
    text = np.fromfile(options.nanogpt / DATA / "train.bin", np.uint16)
    random = np.random.default_rng(chosen.seed)
    train = _blocks(text, random.integers(len(text) - LENGTH, size=options.updates * ROWS))
    validation, ask = _validation(options), partial(TASK.ask, config, {})
    compute = Compute(precision="bfloat16" if options.child == "bfloat16" else "float32")
    network = build(TASK, config, {}, chosen.seed, compute)
    backend = TorchBackend(network, TASK.objective({}), chosen, betas=(0.9, 0.99))
    with tempfile.TemporaryDirectory() as work:
        Trainer(backend, ask, train, validation.spread(1), chosen, Path(work), Observe.silent()).run("ours")
        record = Updates.within(Path(work))
        assert record is not None
        first, *_, last = record.between(_WARM_UP, options.updates)
    seconds = (last.ended_at - first.ended_at) / (last.update - first.update)
    return {"seconds": seconds, "loss": evaluate(backend, ask, validation, 100 * LENGTH, chosen.seed)}


def loss_of_nanogpt(options: argparse.Namespace) -> float:
    """The validation loss of the network that its train.py saved at the end."""
    import torch
    from torch.nn.functional import cross_entropy

    from models.config import ModelConfig
    from models.torch.objectives import Terms, sum_by_row
    from tasks.causal_lm.task import TASK
    from training.backend import RowLosses
    from training.shards import map_in_turn
    from training.validation import evaluate

    sys.path.insert(0, str(options.nanogpt))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    saved = torch.load(options.nanogpt / "out-shakespeare-char" / "ckpt.pt", weights_only=True)
    assert saved["iter_num"] == options.updates
    network = GPT(GPTConfig(**saved["model_args"])).eval()
    network.load_state_dict(saved["model"])

    class Peer:
        """The losses of nanoGPT's network: all that `evaluate` needs of a backend."""

        map = staticmethod(map_in_turn)

        @torch.no_grad()
        def row_losses(self, question: Any) -> RowLosses:
            """See training/backend.py."""
            ids, labels = torch.from_numpy(question.inputs["input_ids"]), torch.from_numpy(question.labels)
            logits, _ = network(ids, labels.view_as(ids))  # without targets it answers at the last place alone
            each = cross_entropy(logits.flatten(0, 1), labels, reduction="none")
            sums = sum_by_row(Terms(each, torch.from_numpy(question.rows)), question.batch_size)
            return RowLosses(sums.numpy(), question.targets)

    ask, backend = partial(TASK.ask, ModelConfig(), {}), Peer()
    return evaluate(backend, ask, _validation(options), 100 * LENGTH, 1)  # type: ignore[arg-type]


def _validation(options: argparse.Namespace) -> Any:
    """The whole validation text: blocks whose targets follow one another."""
    import numpy as np

    text = np.fromfile(options.nanogpt / DATA / "val.bin", np.uint16)
    return _blocks(text, np.arange(0, len(text) - LENGTH, LENGTH))


def _blocks(text: Any, starts: Any) -> Any:
    """Examples of LENGTH characters and the one that follows, from these places on."""
    from training.batches import Examples

    blocks = [text[start : start + LENGTH + 1].astype("int32") for start in starts]
    return Examples.of(blocks, [str(start) for start in starts], pad_id=65)


if __name__ == "__main__":
    main()
