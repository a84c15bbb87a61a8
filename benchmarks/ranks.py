"""The price of shards and ranks: tokens a second of the same pretraining, computed in different ways.

    python -m benchmarks.ranks [--updates 60] [--rounds 2] [--batch-tokens 1024 8192]       about ten minutes on two cores

The network of `pretrain`'s defaults on the corpus of docs, with updates of its own 1,024 tokens, and with larger ones, for
which people take several ranks: ranks exchange as many bytes for a small update as for a large one. In turn:

    shards    one process, four shards on two cores: what `pretrain` does
    whole     one process, the whole batch at once, by PyTorch's own two threads; its bytes depend on their number
    ranks     two processes of one thread, four shards
    ddp       two processes of one thread, PyTorch's DistributedDataParallel with half of the batch each
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.results import keep
from benchmarks.train_encoder import ROOT, make_data, quiet

KINDS = ("shards", "whole", "ranks", "ddp")
_WARM_UP = 5


def main() -> None:
    """Measure and keep the figures; with `--child`, one process of one way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2, help="trainings of each way")
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[1024, 8192], help="sizes of an update")
    parser.add_argument("--data", type=Path, help="folder with a corpus and a tokenizer, made if it is empty")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(run_child(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.data = options.data or Path(folder)
        make_data(options.data)
        speeds: dict[tuple[int, str], list[float]] = defaultdict(list)
        digests: dict[tuple[int, str], set[str]] = defaultdict(set)
        order = [
            (size, kind)
            for number in range(options.rounds)
            for size in options.batch_tokens
            for kind in (KINDS if number % 2 == 0 else reversed(KINDS))
        ]
        for size, kind in tqdm(order, desc="trainings", disable=None):
            found = measure(kind, size, options)
            speeds[size, kind].append(found["tokens"] / found["seconds"])
            digests[size, kind].add(found["digest"])
    report({key: statistics.median(each) for key, each in speeds.items()}, digests, options)


def report(
    speed: dict[tuple[int, str], float], digests: dict[tuple[int, str], set[str]], options: argparse.Namespace
) -> None:
    """Ratios of the medians."""
    bars = (
        ("four shards in one process on two cores against the whole batch by two threads", "shards", "whole", 0.85),
        ("two ranks of one thread against one process on two cores", "ranks", "shards", 0.9),
        ("two ranks of one thread against PyTorch's DDP", "ranks", "ddp", 0.95),
    )
    figures: list[dict[str, Any]] = []
    for size in options.batch_tokens:
        for kind in KINDS:
            print(f"{size:6,} tokens an update: {kind:8} {speed[size, kind]:8,.0f} tokens/s")
        for what, one, other, bar in bars:
            value = round(speed[size, one] / speed[size, other], 2)
            figures.append(
                {
                    "what": f"tokens a second in updates of {size:,}: {what}",
                    "value": value,
                    "unit": "x",
                    "bar": f"at least {bar} x",
                    "ok": value >= bar,
                }
            )
    different = max(len(digests[size, "shards"] | digests[size, "ranks"]) for size in options.batch_tokens)
    what = "different weights after these updates, one process and two ranks"
    figures.append({"what": what, "value": different, "unit": "digest", "bar": "1 digest", "ok": different == 1})
    keep("ranks", f"python -m benchmarks.ranks --updates {options.updates} --rounds {options.rounds}", figures)


def measure(kind: str, size: int, options: argparse.Namespace) -> dict[str, Any]:
    """One training, in one process or two; the figures of the first."""
    from training.torch.ranks import new_store

    count = 2 if kind in ("ranks", "ddp") else 1
    store = new_store() if count > 1 else None
    command = [sys.executable, "-m", "benchmarks.ranks", "--child", kind, "--data", str(options.data)]
    command += [
        "--updates",
        str(options.updates),
        "--batch-tokens",
        str(size),
        "--port",
        str(store.port if store else 0),
    ]
    environment = quiet(2 if kind == "whole" else 1) | {"LOCAL_WORLD_SIZE": str(count)}
    children = [
        subprocess.Popen([*command, "--rank", str(rank)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for rank in range(count)
    ]
    answers = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        sys.exit(f"{kind}: a process failed")
    found: dict[str, Any] = json.loads(answers[0].splitlines()[-1])
    return found


def run_child(options: argparse.Namespace) -> dict[str, Any]:
    """Updates of `pretrain` in one of the ways."""
    import torch

    from artifacts.atomic import digest_of
    from benchmarks.train_encoder import open_inputs
    from models.chance import generator_of
    from tasks.masked_lm.task import TASK
    from tasks.model import build
    from training import ranks
    from training.batches import epoch
    from training.shards import cut
    from training.torch import backend as torch_backend
    from training.torch.ranks import TorchRanks, store_at

    corpus, tokenizer, config = open_inputs(options)
    config = config.model_copy(update={"batch_tokens": options.batch_tokens[0]})
    count = int(os.environ["LOCAL_WORLD_SIZE"])
    if options.child == "ddp":
        torch.set_num_threads(1)
    else:
        torch_backend.prepare()
    if options.child == "whole":
        torch_backend.prepare = lambda: torch.set_num_threads(2)
    if count > 1:
        ranks.join(TorchRanks(options.rank, count, store_at(options.port)))
    settings = TASK.settings(corpus, {})
    model = TASK.config(config, tokenizer, settings)
    examples = TASK.examples(corpus, tokenizer, "train", settings, model)
    order = epoch(examples, config.batch_tokens, config.seed, 0)[: _WARM_UP + options.updates]
    shards = {"whole": 1, "ddp": count}.get(options.child, config.shards)
    network = build(TASK, model, settings, config.seed)
    objective = TASK.objective(settings)

    def questions(number: int) -> list[Any]:
        parts = cut(order[number], shards)
        mine = range(options.rank * shards // count, (options.rank + 1) * shards // count)
        return [
            TASK.ask(model, settings, examples.batch(part), generator_of(config.seed, number, shard), training=True)
            for shard, part in enumerate(parts)
            if shard in mine
        ]

    if options.child == "ddp":
        update = _build_ddp(network, objective, config)
    else:
        backend = torch_backend.TorchBackend(network, objective, config.model_copy(update={"shards": shards}))

        def update(asked: list[Any], number: int) -> None:
            backend.update(asked, number, config.learning_rate_at(number))

    started = 0.0
    for number in range(_WARM_UP + options.updates):
        if number == _WARM_UP:
            started = time.perf_counter()
        update(questions(number), number)
    seconds = time.perf_counter() - started
    tokens = sum(examples.tokens(rows) for rows in order[_WARM_UP:])
    weights = {name: value.tobytes().hex() for name, value in network.weights().items()}
    return {"tokens": tokens, "seconds": seconds, "digest": digest_of(weights)}


def _build_ddp(network: Any, objective: Any, config: Any) -> Any:
    """An update as PyTorch users write it: DistributedDataParallel, AdamW, clipping."""
    import torch
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    from models.torch.objectives import function_of

    compute = function_of(objective)

    class Loss(nn.Module):
        """The mean loss of a question."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network.module

        def forward(self, question: Any) -> torch.Tensor:
            return compute(self.network, question).each.mean()

    module = DistributedDataParallel(Loss().train())
    optimizer = torch.optim.AdamW(module.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True)

    def update(asked: list[Any], number: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate_at(number)
        optimizer.zero_grad(set_to_none=True)
        module(asked[0]).backward()
        nn.utils.clip_grad_norm_(module.parameters(), config.clip)
        optimizer.step()

    return update


if __name__ == "__main__":
    main()
